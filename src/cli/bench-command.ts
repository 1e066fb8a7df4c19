import { invalidArgument } from "../errors/index.js";
import { benchFsOptions } from "./bench-fs-options.js";
import { benchStartOptions } from "./bench-start-options.js";
import { benchStoreOptions } from "./bench-store-options.js";
import type { Command, CommandInput, CommandResult } from "./command.js";

/** What can be measured; the modules of each are loaded when it is asked for. */
const benches: Readonly<Record<string, () => Promise<(input: CommandInput) => Promise<CommandResult>>>> = {
  start: async () => (await import("./bench-start.js")).runBenchStart,
  fs: async () => (await import("./bench-fs.js")).runBenchFs,
  store: async () => (await import("./bench-store.js")).runBenchStore,
};

export const benchCommand: Command = {
  name: "bench",
  summary: "measure lazuli beside its peers, and write a report",
  usage: `${Object.keys(benches).join("|")} [options]`,
  positionalsMin: 1,
  positionalsMax: 1,
  description: [
    "`start` starts containers of images that are not on the node, by lazuli on each format with and without a profile, by a full pull of containerd, and by the peers that it finds, over a link that is simulated. It needs root, mmdebstrap, docker-registry, openssl, runc and containerd; what is missing of the peers is left out with a note. Images are built of Debian's packages at the first run and kept. The node's own daemons and mounts are not touched. See docs/benchmark.md.",
    "`fs` measures operations on an image's tree, whose bytes are all here, on each rung of lazuli's mount ladder beside a local overlayfs, fuse-native where it is installed, and the trees that --peer names: one job and four, with the kernel's caches dropped and with warm ones. It needs root, g++ and docker-registry; it drops the caches of the whole machine again and again.",
    "`store` measures the daemon's own store beside the installed containerd, asked over the socket by the same client: ingest of blobs, records of images, lists, collections of garbage, snapshots. It needs root and containerd; both run below --folder.",
  ],
  options: { ...benchStartOptions, ...benchFsOptions, ...benchStoreOptions },
  examples: [
    ["lazuli bench start --html report.html", "All workloads by all contestants, five rounds."],
    ["lazuli bench fs --html report.html", "File operations in the python image's tree, five rounds."],
    ["lazuli bench store --json store.json", "The store beside containerd's, three rounds."],
    ["lazuli bench start --quick", "Two small images, one round: does everything work here?"],
    [
      "lazuli bench start --image registry.example/app:1 --command '/app --check' --contestant containerd --contestant lazuli-estargz",
      "An image of your own.",
    ],
  ],
  run: async (input) => {
    const [name = ""] = input.positionals;
    if (Object.hasOwn(benches, name)) return await (await benches[name]!())(input);
    throw invalidArgument(`Cannot run lazuli bench: want ${Object.keys(benches).join(", ")}, got "${name}"`, {
      reason: "usage",
      hint: "`lazuli bench --help` shows what each does",
    });
  },
};
