/**
 * Question: how long does a full pull take until the image can be mounted, when no layer has an index: containerd's fetch and
 * unpack into overlayfs against lazuli's one pass without unpacking, in the same containerd and over the same link?
 * Goal: ratios within one run. Not a goal: lazy starts, which the demo measures.
 *
 *     node dist/bench/pull/main.js [--rounds 5] [--json]
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { startLink } from "../../src/bench/link/index.js";
import { machineFacts } from "../../src/bench/machine.js";
import { spreadOf } from "../../src/bench/statistics.js";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { command } from "../../testing/rig/command.js";
import { dropCaches } from "../../testing/rig/drop-caches.js";
import { projectRoot, startLab } from "../../testing/rig/lab.js";
import { mountImage } from "../../testing/rig/mounted-image.js";
import { pythonRegistry } from "../../testing/rig/python-registry.js";

const links = {
  unlimited: undefined,
  "20 ms, 400 Mbit/s": { rttMs: 20, bitsPerSecond: 400e6 },
} as const;
const snapshotters = ["overlayfs", "lazuli"] as const;
type Snapshotter = (typeof snapshotters)[number];

interface Round {
  readonly link: string;
  readonly snapshotter: Snapshotter;
  /** Until the image is mounted. */
  readonly seconds: number;
  /** What came over the link, as long as its bandwidth takes for it: nobody can be faster. */
  readonly floorSeconds: number | undefined;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { rounds: { type: "string", default: "5" }, json: { type: "boolean" } },
  });
  await using cleanup = new Cleanup();
  const newer = join(projectRoot, "build", "newer");
  // Clients of 1.6 download all blobs before they ask a snapshotter.
  await command("bash", [join(projectRoot, "scripts", "fetch-newer-containerd.sh"), newer]);
  const scratch = await mkdtemp(join(tmpdir(), "lazuli-bench-pull-"));
  cleanup.add(() => rm(scratch, { recursive: true, force: true }));
  const registry = await pythonRegistry({ projectRoot, scratch });
  cleanup.add(() => registry.stop());
  const rounds: Round[] = [];
  for (let round = 0; round < Number(values.rounds); round += 1) {
    for (const [link, speed] of Object.entries(links)) {
      for (const snapshotter of round % 2 === 0 ? snapshotters : [...snapshotters].reverse()) {
        const pulled = await pull({
          port: registry.port,
          speed,
          snapshotter,
          binFolder: join(newer, "bin"),
        });
        rounds.push({ link, snapshotter, ...pulled });
        console.error(`${link}: ${snapshotter}: ${pulled.seconds.toFixed(2)} s`);
      }
    }
  }
  const facts = { ...(await machineFacts()), client: "containerd and ctr 2.x of a newer Debian suite" };
  if (values.json === true) console.log(JSON.stringify({ facts, rounds }, null, 2));
  else print(facts, rounds);
}

/** One pull into an empty containerd, until the image's tree can be listed. */
async function pull(options: {
  readonly port: number;
  readonly speed: { readonly rttMs: number; readonly bitsPerSecond: number } | undefined;
  readonly snapshotter: Snapshotter;
  readonly binFolder: string;
}): Promise<Pick<Round, "seconds" | "floorSeconds">> {
  const { port, speed, snapshotter, binFolder } = options;
  await using cleanup = new Cleanup();
  const target = { host: "127.0.0.1", port };
  const link = speed === undefined ? undefined : await startLink({ target, ...speed });
  cleanup.add(() => link?.stop());
  const lab = await startLab({ binFolder });
  cleanup.add(async () => await lab[Symbol.asyncDispose]());
  await dropCaches();
  const image = `127.0.0.1:${link?.port ?? port}/python:org`;
  const started = performance.now();
  await lab.containerd.ctr(["images", "pull", "--plain-http", "--snapshotter", snapshotter, image]);
  await using mounted = await mountImage({
    containerd: lab.containerd,
    image,
    snapshotter,
    below: lab.folder,
  });
  await command("ls", [mounted.folder]);
  const seconds = (performance.now() - started) / 1000;
  const bytes = link?.bytesDown ?? 0;
  return { seconds, floorSeconds: speed === undefined ? undefined : (bytes * 8) / speed.bitsPerSecond };
}

function print(facts: Record<string, string>, rounds: readonly Round[]): void {
  for (const [name, value] of Object.entries(facts)) console.log(`${name.padEnd(14)}${value}`);
  console.log(
    "\nseconds until the image is mounted, median (least to greatest); the ratio is lazuli's part of containerd's time",
  );
  for (const link of Object.keys(links)) {
    const of = (wanted: Snapshotter) =>
      spreadOf(
        rounds
          .filter((round) => round.link === link && round.snapshotter === wanted)
          .map(({ seconds }) => seconds),
      );
    const [theirs, ours] = [of("overlayfs"), of("lazuli")];
    const floors = rounds
      .filter((round) => round.link === link)
      .flatMap(({ floorSeconds }) => floorSeconds ?? []);
    const shown = ({ median, least, greatest }: typeof ours): string =>
      `${median.toFixed(2)} (${least.toFixed(2)} to ${greatest.toFixed(2)})`;
    console.log(
      `  ${link.padEnd(20)} containerd ${shown(theirs)}   lazuli ${shown(ours)}   ${(ours.median / theirs.median).toFixed(2)}`,
    );
    if (floors.length === 0) continue;
    const floor = spreadOf(floors).median;
    console.log(
      `  ${"".padEnd(20)} floor ${floor.toFixed(2)}: bytes / bandwidth, which both have to wait for; beyond it ${((ours.median - floor) / (theirs.median - floor)).toFixed(2)}`,
    );
  }
}

await main();
