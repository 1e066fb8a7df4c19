import pLimit from "p-limit";
import t from "tap";
import { createProxySnapshotter, type ProxySnapshotter } from "../../src/snapshotters/index.js";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { type Kind, kinds, leftBelow, type PluggedNode, startPlugged } from "./snapshotters-rig.js";

t.setTimeout(300_000);

/** Each a layer, and on it an active snapshot, another and a view. */
const GROUP_SIZE = 4;
const SNAPSHOTS = 1000;
/** The two that keep trees each in their own way have a thousand snapshots, the others as many groups as make a list. */
const groupsOf: Readonly<Record<Kind, number>> = { overlayfs: 250, btrfs: 250, native: 25, lazy: 25 };
/** As many layers lie on each other. */
const CHAIN = 5;
/** Calls under way at once. */
const CALLS_MAX = 16;
const labels = { "containerd.io/gc.root": "now" };

t.test(
  `a Debian containerd lists ${SNAPSHOTS} snapshots in each of ours, also after lazuli was killed`,
  async (t) => {
    await using cleanup = new Cleanup();
    const node = await startPlugged(cleanup, { sockets: "shared", collectsOnRequest: true });
    const clients = kinds.map((kind) => ({ kind, client: clientOf(cleanup, node, kind) }));
    const before = new Map<Kind, string[]>();
    await Promise.all(
      clients.map(async ({ kind, client }) => {
        await fill(client, groupsOf[kind]);
        before.set(kind, await listed(node, kind));
      }),
    );
    for (const [kind, lines] of before) {
      t.equal(lines.length, groupsOf[kind] * GROUP_SIZE, kind);
      t.equal(lines.filter((line) => line.endsWith(" Active ")).length, groupsOf[kind] * 2, kind);
    }
    await node.stop("SIGKILL");
    await node.start();
    for (const { kind, client } of clients) {
      await t.test(kind, async (t) => {
        t.same(await listed(node, kind), before.get(kind), "all are there again");
        t.equal((await client.mounts("active-1")).length, 1);
        await t.rejects(client.prepare({ key: "active-1", parent: "", labels }), { code: "ALREADY_EXISTS" });
        await client.prepare({ key: "new", parent: "layer-1", labels });
        await client.remove("new");
      });
    }
    await Promise.all(clients.map(async ({ kind, client }) => await empty(client, groupsOf[kind])));
    for (const kind of kinds) t.same(await leftBelow(node, kind), [], `${kind}: all can be removed`);
  },
);

/** Through containerd, as any client of it. */
function clientOf(cleanup: Cleanup, { containerd, sides }: PluggedNode, kind: Kind): ProxySnapshotter {
  const { namespace, snapshotter } = sides(kind).ours;
  const context = (): { namespace: string } => ({ namespace });
  const client = createProxySnapshotter({ address: containerd.address, name: snapshotter, context });
  cleanup.add(() => client.close());
  return client;
}

const numbersTo = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

async function fill(client: ProxySnapshotter, count: number): Promise<void> {
  const groups = numbersTo(count);
  const limit = pLimit(CALLS_MAX);
  for (let level = 0; level < CHAIN; level += 1) {
    const ofLevel = groups.filter((index) => index % CHAIN === level);
    await limit.map(ofLevel, async (index) => {
      const parent = level === 0 ? "" : `layer-${index - 1}`;
      await client.prepare({ key: `key-${index}`, parent, labels });
      await client.commit({ key: `key-${index}`, name: `layer-${index}`, parent: "", labels });
    });
  }
  await limit.map(groups, async (index) => {
    const parent = `layer-${index}`;
    for (const key of [`active-${index}`, `other-${index}`]) await client.prepare({ key, parent, labels });
    await client.view({ key: `view-${index}`, parent, labels });
  });
}

async function empty(client: ProxySnapshotter, count: number): Promise<void> {
  const groups = numbersTo(count);
  const limit = pLimit(CALLS_MAX);
  await limit.map(groups, async (index) => {
    for (const kind of ["active", "other", "view"]) await client.remove(`${kind}-${index}`);
  });
  for (let level = CHAIN - 1; level >= 0; level -= 1) {
    const ofLevel = groups.filter((index) => index % CHAIN === level);
    await limit.map(ofLevel, async (index) => await client.remove(`layer-${index}`));
  }
}

/** Lines of `ctr snapshots ls`, with single spaces. */
async function listed({ containerd, sides }: PluggedNode, kind: Kind): Promise<string[]> {
  const { namespace, snapshotter } = sides(kind).ours;
  const words = ["--namespace", namespace, "snapshots", "--snapshotter", snapshotter, "ls"];
  const { stdout } = await containerd.ctr(words);
  return stdout
    .trimEnd()
    .split("\n")
    .slice(1)
    .map((line) => line.replace(/ +/g, " "));
}
