import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t, { type Test } from "tap";
import type { Digest } from "../../src/bytes/index.js";
import { type CollectorOptions, collectedChannel, createCollector } from "../../src/gc/index.js";
import {
  contents,
  images,
  leaseResources,
  leases,
  type Metadata,
  namespacedSnapshots,
  openMetadata,
} from "../../src/metadata/index.js";

const second = 1_000_000_000n;
const now = 1_700_000_000n * second;
const times = { createdAt: now, updatedAt: now };

function digest(letter: string): Digest {
  return `sha256:${letter.repeat(64)}` as Digest;
}

async function openFor(t: Test): Promise<Metadata> {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-gc-"));
  t.teardown(async () => await rm(folder, { recursive: true, force: true }));
  const metadata = await openMetadata({ directory: folder });
  t.teardown(async () => await metadata.close());
  return metadata;
}

async function putContent(metadata: Metadata, letter: string, labels: Record<string, string> = {}) {
  const row = { namespace: "n", digest: digest(letter), size: 1, labels, ...times };
  await metadata.write((transaction) => transaction.put(contents, ["n", row.digest], row));
}

async function putImage(metadata: Metadata, name: string, target: string): Promise<void> {
  const descriptor = { mediaType: "m", digest: digest(target), size: 1, annotations: {} };
  const row = { namespace: "n", name, labels: {}, target: descriptor, ...times };
  await metadata.write((transaction) => transaction.put(images, ["n", name], row));
}

function collectorOver(metadata: Metadata, options: Partial<CollectorOptions> = {}) {
  return createCollector({
    metadata,
    content: { sweep: async () => ({ bytesFreed: 0 }) },
    snapshotters: new Map(),
    collectibles: [],
    now: () => now,
    ...options,
  });
}

t.test("why() tells each step from a root, and nothing for what goes", async (t) => {
  const metadata = await openFor(t);
  await putContent(metadata, "a", { "containerd.io/gc.ref.content.l.0": digest("b") });
  await putContent(metadata, "b");
  await putContent(metadata, "c", { "containerd.io/gc.bref.image.x": "image" });
  await putContent(metadata, "d");
  await putImage(metadata, "image", "a");
  const snapshot = { namespace: "n", snapshotter: "s", labels: {}, ...times };
  await metadata.write((transaction) => {
    transaction.put(leases, ["n", "lease"], { namespace: "n", id: "lease", labels: {}, createdAt: now });
    const resource = { type: "snapshots/s", id: "child" };
    transaction.put(leaseResources, ["n", "lease", resource.type, resource.id], resource);
    for (const [key, parent] of [
      ["child", "base"],
      ["base", ""],
    ] as const)
      transaction.put(namespacedSnapshots, ["n", "s", key], { ...snapshot, key, parent, storeKey: key });
  });
  const collector = collectorOver(metadata);
  const steps = async (subject: string) =>
    (await collector.why(subject)).map(({ path }) =>
      path.map(({ node, by }) => `${by} ${node.type} ${node.key}`),
    );
  t.same(await steps(digest("b")), [
    [
      "image image image",
      `target content ${digest("a")}`,
      `containerd.io/gc.ref.content.l.0 content ${digest("b")}`,
    ],
  ]);
  t.same(await steps(digest("c")), [
    ["image image image", `containerd.io/gc.bref.image.x content ${digest("c")}`],
  ]);
  const base = [["lease lease lease", "leased snapshot s/child", "parent snapshot s/base"]];
  t.same(await steps("base"), base);
  t.same(await steps("s/base"), base, "with the snapshotter");
  t.same(await steps(digest("d")), [[]]);
  await t.rejects(collector.why("nobody"), { code: "NOT_FOUND", reason: "nothing-to-explain" });
  t.same((await collector.plan()).unreachable, [{ type: "content", namespace: "n", key: digest("d") }]);
  t.ok(metadata.get(contents, ["n", digest("d")]), "neither removes");
});

t.test("collect() sweeps at the start, then only what rows went from, and again what failed", async (t) => {
  const metadata = await openFor(t);
  const swept: string[] = [];
  let isBroken = false;
  const collector = collectorOver(metadata, {
    content: {
      sweep: async () => {
        if (isBroken) throw new Error("no disk");
        swept.push("content");
        return { bytesFreed: 7 };
      },
    },
    snapshotters: new Map([["s", { sweep: async () => void swept.push("s") }]]),
  });
  const published: number[] = [];
  using _collected = collectedChannel.subscribe(({ bytesFreed }) => published.push(bytesFreed));
  await collector.collect();
  t.same(swept.splice(0), ["content", "s"], "an end in between may have left orphans");
  await collector.collect();
  t.same(swept, []);
  await putContent(metadata, "a");
  isBroken = true;
  await t.rejects(collector.collect(), { message: "no disk" });
  t.notOk(metadata.get(contents, ["n", digest("a")]), "the row is gone");
  isBroken = false;
  t.match(await collector.collect(), { removed: {}, bytesFreed: 7 });
  t.same(swept, ["content"]);
  t.same(published, [7, 0, 7]);
});

t.test("collect() ends with the signal and leaves the rest to the next", async (t) => {
  const metadata = await openFor(t);
  await putContent(metadata, "a");
  const collector = collectorOver(metadata);
  const controller = new AbortController();
  controller.abort(new Error("stop"));
  await t.rejects(collector.collect({ signal: controller.signal }), { message: "stop" });
  t.ok(metadata.get(contents, ["n", digest("a")]));
  t.match(await collector.collect(), { removed: { content: 1 } });
});

t.test(
  "collect() removes circles that nothing else keeps, and keeps those that something does",
  async (t) => {
    const metadata = await openFor(t);
    for (const [one, other] of ["ab", "ba", "cd", "dc"].map((pair) => [...pair] as [string, string]))
      await putContent(metadata, one, { "containerd.io/gc.ref.content": digest(other) });
    await putImage(metadata, "image", "d");
    t.match(await collectorOver(metadata).collect(), { removed: { content: 2 } });
    t.same(
      [...metadata.entries(contents, ["n"])].map(({ value }) => value.digest),
      [digest("c"), digest("d")],
    );
  },
);
