import t from "tap";
import { coldPart, mergeStart, type Profile, readsOf, usedEntries } from "../../src/profiles/index.js";
import { STARTS_MAX } from "../../src/profiles/limits.js";
import type { StartTrace } from "../../src/traces/index.js";
import { digestOf, pathsOf, startOf } from "./sample.js";

function merged(...starts: readonly ReturnType<typeof startOf>[]): Profile {
  const [first, ...more] = starts;
  return more.reduce((profile, start) => mergeStart(profile, start), mergeStart(undefined, first!));
}

t.test("mergeStart() orders by the median of the times", async (t) => {
  const profile = merged(
    startOf([
      [0, "a", 10, 1],
      [0, "b", 10, 50],
      [1, "c", 10, 60],
    ]),
    startOf([
      [0, "a", 10, 5],
      [1, "c", 10, 20],
      [0, "b", 10, 30],
    ]),
    startOf([
      [1, "c", 10, 2],
      [0, "a", 10, 4],
      [0, "b", 10, 40],
    ]),
  );
  t.same(pathsOf(profile), ["a", "c", "b"]);
  t.equal(profile.starts, 3);
  t.same(
    profile.entries.map(({ starts, timesMs }) => [starts, timesMs]),
    [
      [3, [1, 5, 4]],
      [3, [60, 20, 2]],
      [3, [50, 30, 40]],
    ],
  );
});

t.test("usedEntries() leaves out what few starts read, from the third on; the count goes on", async (t) => {
  const common = [0, "common", 10, 1] as const;
  const rare = [0, "rare", 10, 2] as const;
  const profile = merged(startOf([common, rare]), startOf([common]));
  t.equal(usedEntries(profile).length, 2, "two starts tell too little");
  const third = mergeStart(profile, startOf([common]));
  t.same(
    usedEntries(third).map(({ file }) => third.files[file]!.path),
    ["common"],
  );
  const fifth = mergeStart(mergeStart(third, startOf([common, rare])), startOf([common, rare]));
  t.equal(usedEntries(fifth).length, 2, "it comes back when more starts read it");
});

t.test("mergeStart() forgets by halves, so that an image may change", async (t) => {
  let profile = merged(
    startOf([
      [0, "old", 10, 1],
      [0, "kept", 10, 2],
    ]),
  );
  for (let start = 1; start < STARTS_MAX; start += 1)
    profile = mergeStart(profile, startOf([[0, "kept", 10, 2]]));
  t.equal(profile.starts, STARTS_MAX);
  t.ok(pathsOf(profile).includes("old"));
  profile = mergeStart(profile, startOf([[0, "kept", 10, 2]]));
  t.equal(profile.starts, STARTS_MAX / 2 + 1);
  t.same(pathsOf(profile), ["kept"], "what one start of many read is gone");
});

t.test(
  "mergeStart() counts a read once in a start, and takes in other layers of the same image",
  async (t) => {
    const twice = merged(
      startOf([
        [0, "a", 10, 1],
        [0, "a", 10, 9],
      ]),
    );
    t.same(twice.entries, [{ file: 0, offset: 0, length: 10, starts: 1, timesMs: [1] }]);
    const other = startOf([[0, "b", 10, 1]], { layers: [digestOf("third")] });
    const profile = mergeStart(twice, other);
    t.same(profile.layers, [digestOf("below"), digestOf("above"), digestOf("third")]);
    t.same(profile.files, [
      { layer: 0, path: "a", size: 10 },
      { layer: 2, path: "b", size: 10 },
    ]);
  },
);

t.test("mergeStart() leaves out paths that no profile may have, and late reads", async (t) => {
  const profile = merged(
    startOf([
      [0, "a\nb", 10, 1],
      [0, "fine", 10, 1],
      [0, "late", 10, 1e9],
    ]),
  );
  t.same(pathsOf(profile), ["fine"]);
});

t.test("coldPart() leaves out layers that the kernel's cache answered for", async (t) => {
  const paths = (before: Profile | undefined, start: ReturnType<typeof startOf>) =>
    coldPart(before, start).reads.map(({ path }) => path);
  const cold = startOf([
    [0, "a", 1000, 1],
    [0, "b", 1000, 2],
    [1, "c", 1000, 3],
  ]);
  t.same(paths(undefined, cold), ["a", "b", "c"]);
  const profile = merged(cold);
  t.same(paths(profile, startOf([[0, "a", 900, 1]])), [], "half of the layer is not read");
  t.same(paths(profile, startOf([[0, "a", 1000, 1]])), ["a"]);
  const half = startOf([
    [0, "a", 900, 1],
    [1, "c", 600, 2],
  ]);
  t.same(paths(profile, half), ["c"]);
});

t.test(
  "usedEntries() counts starts by layer: a warm one is none of those that left a file out",
  async (t) => {
    const both = startOf([
      [0, "below", 10, 1],
      [1, "above", 10, 2],
    ]);
    const warmBelow = startOf([[1, "above", 10, 2]]);
    const profile = merged(both, warmBelow, warmBelow, warmBelow, warmBelow);
    t.equal(profile.starts, 5);
    t.same(
      usedEntries(profile).map(({ file }) => profile.files[file]!.path),
      ["below", "above"],
    );
  },
);

t.test("readsOf() names the files of a trace, and leaves out a layer that is gone", async (t) => {
  const layer = (name: string) => {
    return { digest: digestOf(name), format: "estargz", blobBytes: 1, dataBytes: 1, units: 1 };
  };
  const touch = { unit: 0, length: 10, waitedMs: 0 };
  const trace: StartTrace = {
    version: 1,
    id: "20261121T150000000Z-abcdef",
    startedAt: "2026-11-21T15:00:00Z",
    reference: "registry.example/team/app:1",
    manifest: undefined,
    command: ["app"],
    key: "x",
    durationMs: 10,
    ended: "time",
    layers: [layer("below"), layer("gone"), layer("above")],
    touches: [
      { ...touch, layer: 2, offset: 0, atMs: 1 },
      { ...touch, layer: 1, offset: 0, atMs: 2 },
      { ...touch, layer: 0, offset: 10, atMs: 3 },
      { ...touch, layer: 2, offset: 20, atMs: 4 },
    ],
    requests: [],
  };
  const reads = await readsOf(trace, {
    files: {
      filesIn: async (digest, ranges) => {
        if (digest === digestOf("gone")) throw new Error("ENOENT");
        return ranges.map(({ offset, length }, range) => {
          return { range, path: `${digest.slice(7, 11)}/${offset}`, fileSize: 100, offset: 0, length };
        });
      },
    },
  });
  t.equal(reads.repository, "registry.example/team/app");
  const [below, above] = [digestOf("below").slice(7, 11), digestOf("above").slice(7, 11)];
  t.same(
    reads.reads.map(({ layer: at, path, atMs }) => [at, path, atMs]),
    [
      [2, `${above}/0`, 1],
      [0, `${below}/10`, 3],
      [2, `${above}/20`, 4],
    ],
  );
});
