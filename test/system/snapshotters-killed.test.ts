import { randomBytes } from "node:crypto";
import { join } from "node:path";
import t from "tap";
import { deferred, delay } from "../../src/async/index.js";
import { createProxySnapshotter } from "../../src/snapshotters/index.js";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { type CommandResult, command } from "../../testing/rig/command.js";
import { oddRegistry, projectRoot } from "../../testing/rig/lab.js";
import {
  type Kind,
  kinds,
  leftBelow,
  mountsBelow,
  type PluggedNode,
  startPlugged,
} from "./snapshotters-rig.js";

t.setTimeout(300_000);

const KILLS = 10;
/** Most commands that succeed before a kill: each kind pulls, runs and removes some times. */
const COMMANDS_MAX = 20;
/** Longest wait from there to the kill: about as long as a pull takes. */
const WAIT_MAX_MS = 500;
const SEED = Number(process.env.LAZULI_SEED ?? 20260811);
const anyCode = Array.from({ length: 256 }, (_, code) => code);

/** The same numbers from 0 to 1 for the same seed (a linear congruential generator). */
function numbersFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

t.test("a killed lazuli snapshotter leaves no mount, no tree and no row", async (t) => {
  t.comment(`seed ${SEED}`);
  const random = numbersFrom(SEED);
  await using cleanup = new Cleanup();
  const registry = await oddRegistry(cleanup);
  const node = await startPlugged(cleanup, { sockets: "shared" });
  const places = [node.folder, node.rootOf("btrfs")];
  const before = await mountsBelow(...places);
  for (let round = 0; round < KILLS; round += 1) {
    const ending = new AbortController();
    const commands = countdown(1 + Math.floor(random() * COMMANDS_MAX));
    const common = { node, host: registry.host, onDone: commands.count };
    const loops = kinds.map(async (kind) => await workUntil(ending.signal, { ...common, kind }));
    await commands.ended;
    await delay(random() * WAIT_MAX_MS);
    ending.abort();
    await node.stop("SIGKILL");
    await node.start();
    await Promise.all(loops);
  }

  for (const kind of kinds) {
    await t.test(kind, async (t) => {
      for (const words of work({ node, kind, host: registry.host }, "last"))
        t.match(await words(), { code: 0, stderr: "" }, "works as before");
      await removeAll(node, kind);
      t.same(await leftBelow(node, kind), [], "no tree");
    });
  }
  for (const kind of kinds) t.same(await rowsOf(node, kind), [], `${kind}: no row`);
  await node.stop("SIGKILL");
  await node.start();
  const after = await mountsBelow(...places);
  const layerMount = new RegExp(`^${node.lazuli.state}/layers/\\d+c? erofs$`);
  t.same(
    after.filter((mount) => !layerMount.test(mount)),
    before,
    "no mount but of layers",
  );
  // A layer outlives its last snapshot for some minutes, and its mounts a killed server: through FUSE, and on its file.
  const { layers } = JSON.parse((await node.lazuli.lazuli(["status", "--json"])).stdout);
  t.ok(after.length - before.length <= 2 * layers.length, "no mount of a layer that lazuli does not know");
  await node.stop("SIGTERM");
  const program = join(projectRoot, "bin/lazuli");
  const checked = await command(program, ["fsck", "--config", node.lazuli.configFile], { allow: [1] });
  t.equal(checked.code, 0, checked.stdout);
});

interface Work {
  readonly node: PluggedNode;
  readonly kind: Kind;
  readonly host: string;
}

type Action = () => Promise<CommandResult>;

/** A pull, a run and a removal on our side. */
function work({ node, kind, host }: Work, id: string): Action[] {
  const { namespace, snapshotter } = node.sides(kind).ours;
  const image = `${host}/odd:${kind === "lazy" ? "esgz" : "org"}`;
  const by = (client: "ctr" | "ctrRemote", ...words: string[]): Action => {
    return async () =>
      await node.containerd[client](["--namespace", namespace, ...words], { allow: anyCode });
  };
  const pull = ["--plain-http", "--snapshotter", snapshotter, image];
  return [
    kind === "lazy" ? by("ctrRemote", "images", "rpull", ...pull) : by("ctr", "images", "pull", ...pull),
    by(
      "ctr",
      "run",
      "--rm",
      "--snapshotter",
      snapshotter,
      image,
      id,
      "/bin/sh",
      "-c",
      "echo x > /new; cat /data/keep",
    ),
    by("ctr", "images", "rm", image),
  ];
}

/** Works in a loop, and tells of each command that succeeded. */
async function workUntil(
  signal: AbortSignal,
  options: Work & { readonly onDone: () => void },
): Promise<void> {
  while (!signal.aborted) {
    for (const action of work(options, `box-${randomBytes(4).toString("hex")}`)) {
      if (signal.aborted) return;
      if ((await action()).code === 0) options.onDone();
    }
  }
}

/** Ends when it was counted so often. */
function countdown(from: number): { readonly ended: Promise<void>; count(): void } {
  const { promise, resolve } = deferred<void>();
  let left = from;
  const count = (): void => {
    left -= 1;
    if (left === 0) resolve();
  };
  return { ended: promise, count };
}

/** Removes all that a client can see of a kind, also what a broken client left. */
async function removeAll({ containerd, sides }: PluggedNode, kind: Kind): Promise<void> {
  const { namespace, snapshotter } = sides(kind).ours;
  const ctr = async (...words: string[]): Promise<string> =>
    (await containerd.ctr(["--namespace", namespace, ...words], { allow: anyCode })).stdout;
  const listed = async (...words: string[]): Promise<string[]> =>
    (await ctr(...words)).split("\n").filter((line) => line !== "");
  for (const id of await listed("tasks", "ls", "-q")) await ctr("tasks", "rm", "--force", id);
  for (const id of await listed("containers", "ls", "-q")) await ctr("containers", "rm", id);
  for (const name of await listed("images", "ls", "-q")) await ctr("images", "rm", name);
  for (const id of await listed("leases", "ls", "-q")) await ctr("leases", "rm", id);
  // A parent goes after its children.
  for (let left: string[] = []; ; ) {
    const keys = (await listed("snapshots", "--snapshotter", snapshotter, "ls")).slice(1);
    if (keys.length === 0 || keys.join() === left.join()) return;
    left = keys;
    for (const line of keys) await ctr("snapshots", "--snapshotter", snapshotter, "rm", line.split(" ")[0]!);
  }
}

async function rowsOf({ lazuli, sides }: PluggedNode, kind: Kind): Promise<string[]> {
  const snapshotter = createProxySnapshotter({ address: lazuli.socket, name: sides(kind).ours.snapshotter });
  try {
    const names: string[] = [];
    for await (const { name } of snapshotter.walk([])) names.push(name);
    return names;
  } finally {
    await snapshotter.close();
  }
}
