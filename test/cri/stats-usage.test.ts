import t from "tap";
import { fsInfo } from "../../src/cri/fs-info.js";
import { idleLayers, SnapshotUsages } from "../../src/cri/index.js";
import { StatsCollector } from "../../src/cri/stats-collector.js";
import { notFound } from "../../src/errors/index.js";
import type { SnapshotKind, SnapshotUsage } from "../../src/snapshotters/index.js";

const { signal } = new AbortController();

/** Snapshots by name, with what they take; `asked` is who was asked about. */
function fakeSnapshotter(snapshots: Record<string, SnapshotUsage & { kind: SnapshotKind }>) {
  const asked: string[] = [];
  return {
    asked,
    snapshots,
    snapshotter: {
      async *walk() {
        for (const [name, { kind }] of Object.entries(snapshots)) yield { name, kind } as never;
      },
      usage: async (name: string) => {
        asked.push(name);
        const found = snapshots[name];
        if (found === undefined || found.size < 0) throw notFound(`snapshot ${name}`);
        return { size: found.size, inodes: found.inodes };
      },
    },
  };
}

t.test("fsInfo() counts what lies on the disk now, the default snapshotter first", async (t) => {
  const lazy = fakeSnapshotter({
    layer: { kind: "committed", size: 1000, inodes: 10 },
    box: { kind: "active", size: 50, inodes: 2 },
    gone: { kind: "active", size: -1, inodes: 0 },
  });
  const eager = fakeSnapshotter({ base: { kind: "committed", size: 7, inodes: 1 } });
  let now = 5n;
  const usages = new SnapshotUsages({
    snapshotters: [
      { name: "overlayfs", folder: "/root/overlayfs", snapshotter: eager.snapshotter, isLazy: false },
      { name: "unused", folder: "/root/unused", snapshotter: fakeSnapshotter({}).snapshotter, isLazy: false },
      { name: "lazuli", folder: "/root/lazuli", snapshotter: lazy.snapshotter, isLazy: true },
    ],
    now: () => now,
  });
  const empty = fsInfo({ usages, defaultSnapshotter: "lazuli" });
  t.match(empty.imageFilesystems, [
    { fsId: { mountpoint: "/root/lazuli" }, usedBytes: { value: 0n }, timestamp: 5n },
  ]);
  await usages.collect({ signal });
  now = 9n;
  lazy.snapshots["layer"] = { kind: "committed", size: 4000, inodes: 11 };
  const info = fsInfo({ usages, defaultSnapshotter: "lazuli" });
  t.match(info.imageFilesystems, [
    {
      fsId: { mountpoint: "/root/lazuli" },
      usedBytes: { value: 1050n },
      inodesUsed: { value: 12n },
      timestamp: 5n,
    },
    { fsId: { mountpoint: "/root/overlayfs" }, usedBytes: { value: 7n } },
  ]);
  t.equal(info.imageFilesystems?.length, 2, "an empty one is left out");
  t.match(info.containerFilesystems, [{ usedBytes: { value: 50n }, inodesUsed: { value: 2n } }, {}]);
  await usages.collect({ signal });
  const later = fsInfo({ usages, defaultSnapshotter: "lazuli" });
  t.equal(later.imageFilesystems?.[0]?.usedBytes?.value, 4050n, "a lazy layer grows as it is read");
  t.same(eager.asked, ["base"], "a committed layer that can't change is asked about once");
  delete lazy.snapshots["box"];
  await usages.collect({ signal });
  t.equal(usages.of("lazuli", "box"), undefined);
  t.equal(usages.of("lazuli", "layer")?.bytes, 4000);
});

t.test("collect() keeps what it knew of a snapshotter that fails, and asks the others", async (t) => {
  const good = fakeSnapshotter({ one: { kind: "active", size: 1, inodes: 1 } });
  const bad = fakeSnapshotter({ two: { kind: "active", size: 2, inodes: 1 } });
  let fails = false;
  const walk = async function* () {
    if (fails) throw notFound("the snapshotter");
    yield* bad.snapshotter.walk();
  };
  const usages = new SnapshotUsages({
    snapshotters: [
      { name: "bad", folder: "/b", snapshotter: { ...bad.snapshotter, walk }, isLazy: true },
      { name: "good", folder: "/g", snapshotter: good.snapshotter, isLazy: true },
    ],
    now: () => 1n,
  });
  await usages.collect({ signal });
  fails = true;
  good.snapshots["one"] = { kind: "active", size: 5, inodes: 1 };
  await usages.collect({ signal });
  t.equal(usages.of("bad", "two")?.bytes, 2);
  t.equal(usages.of("good", "one")?.bytes, 5);
});

t.test(
  "StatsCollector works at once and every period, survives failures, and ends when it is closed",
  async (t) => {
    const rounds: number[] = [];
    let enough: () => void = () => undefined;
    const third = new Promise<void>((resolve) => {
      enough = resolve;
    });
    const collector = new StatsCollector({
      periodMs: 1,
      works: [
        async () => {
          throw new Error("for once");
        },
        async () => {
          if (rounds.push(rounds.length) === 3) enough();
        },
      ],
    });
    await third;
    await collector[Symbol.asyncDispose]();
    const { length } = rounds;
    await new Promise((resolve) => setTimeout(resolve, 20));
    t.equal(rounds.length, length);
  },
);

t.test("fsInfo() counts lazy layers that no snapshot is any more, until they are gone", async (t) => {
  const layer = (hex: string) => `sha256:${hex.repeat(64)}` as never;
  const sizes = new Map([
    [layer("a"), 100],
    [layer("b"), 20],
  ]);
  const listed = [layer("a"), layer("b"), layer("c")];
  const engine = {
    list: () => listed.map((digest) => ({ digest })) as never,
    usage: async (digest: unknown) => {
      const bytes = sizes.get(digest as never);
      if (bytes === undefined) throw notFound("layer");
      return { bytes, inodes: 6 };
    },
  };
  const metadata = { values: () => [{ layerDigest: layer("a") }, {}] as never };
  const { snapshotter } = fakeSnapshotter({ own: { kind: "committed", size: 100, inodes: 6 } });
  const idle = () => idleLayers({ engine, metadata });
  const usages = new SnapshotUsages({
    snapshotters: [{ name: "lazy", folder: "/l", snapshotter, isLazy: true, idle }],
    now: () => 1n,
  });
  await usages.collect({ signal });
  t.same(usages.totals("lazy").all, { bytes: 120, inodes: 12, at: 1n });
  sizes.delete(layer("b"));
  await usages.collect({ signal });
  t.equal(usages.totals("lazy").all.bytes, 100);
});
