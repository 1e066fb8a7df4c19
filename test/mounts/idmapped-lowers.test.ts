import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import {
  type IdMapping,
  idmappedLowers,
  type MountBinding,
  mountAll,
  unmountAll,
} from "../../src/mounts/index.js";
import { binding, file, folders, mountedBelow, refusing, scratch, spec } from "./rig.js";

function mapping(outside: number): IdMapping {
  const ranges = [{ inside: 0, outside, size: 65_536 }];
  return { uids: ranges, gids: ranges };
}

t.test(
  "claim() mounts each layer once for each mapping, and release() takes it away with its last holder",
  async (t) => {
    const base = scratch(t);
    const lowers = folders(base, "one", "two");
    for (const lower of lowers) file(join(lower, "inside"));
    const folder = join(base, "mapped");
    const keeper = await idmappedLowers({ binding, folder });
    const [first, second, other] = await Promise.all([
      keeper.claim({ holder: "a", lowers, mapping: mapping(100_000) }),
      keeper.claim({ holder: "b", lowers: lowers.toReversed(), mapping: mapping(100_000) }),
      keeper.claim({ holder: "c", lowers, mapping: mapping(200_000) }),
    ]);
    t.same(second, first.toReversed(), "the same layer has the same place");
    t.equal(statSync(join(first[0]!, "inside")).uid, 100_000);
    t.equal(statSync(join(other[1]!, "inside")).uid, 200_000);
    t.equal((await mountedBelow(folder)).length, 4);
    t.same(await keeper.claim({ holder: "a", lowers, mapping: mapping(100_000) }), first, "again is fine");
    await keeper.release("a");
    t.equal((await mountedBelow(folder)).length, 4);
    const [target] = folders(base, "target") as [string];
    const overlay = [spec("overlay", "overlay", `lowerdir=${second.join(":")}`)];
    await mountAll({ binding, mounts: overlay, target });
    await Promise.all([keeper.release("b"), keeper.release("c"), keeper.release("unknown")]);
    t.same(await mountedBelow(folder), []);
    t.same(readdirSync(folder), []);
    t.equal(keeper.size, 0);
    t.equal(statSync(join(target, "inside")).uid, 100_000, "an overlay keeps its layers");
    await unmountAll({ binding, target });
  },
);

t.test("claim() that fails leaves what was there before", async (t) => {
  const base = scratch(t);
  const [lower] = folders(base, "one") as [string];
  const folder = join(base, "mapped");
  const keeper = await idmappedLowers({ binding, folder });
  await keeper.claim({ holder: "a", lowers: [lower], mapping: mapping(1) });
  const missing = [lower, join(base, "missing")];
  await t.rejects(keeper.claim({ holder: "a", lowers: missing, mapping: mapping(1) }), {
    code: "NOT_FOUND",
    reason: "mount-path-missing",
  });
  await t.rejects(keeper.claim({ holder: "b", lowers: ["/proc"], mapping: mapping(1) }), {
    code: "FAILED_PRECONDITION",
    reason: "idmap-unsupported",
  });
  const over = AbortSignal.abort(new Error("enough"));
  await t.rejects(
    keeper.claim({ holder: "b", lowers: [lower], mapping: mapping(1), signal: over }),
    /enough/,
  );
  t.equal((await mountedBelow(folder)).length, 1);
  const failing: MountBinding = {
    mount: binding.mount,
    umount: binding.umount,
    mounts: { ...binding.mounts, attach: refusing("ENOSPC") },
  };
  const full = await idmappedLowers({ binding: failing, folder: join(base, "full") });
  await t.rejects(full.claim({ holder: "a", lowers: [lower], mapping: mapping(1) }), {
    code: "RESOURCE_EXHAUSTED",
  });
  t.same(readdirSync(join(base, "full")), []);
  await keeper.release("a");
  t.same(await mountedBelow(base), []);
});

t.test("claim() and release() at once end with what the last one wanted", async (t) => {
  const base = scratch(t);
  const lowers = folders(base, "one", "two", "three");
  const keeper = await idmappedLowers({ binding, folder: join(base, "mapped") });
  const users = Array.from({ length: 30 }, async (_, index) => {
    const holder = `user ${index}`;
    const [path] = await keeper.claim({ holder, lowers, mapping: mapping(1000 * (index % 3)) });
    t.equal(statSync(path!).uid, 1000 * (index % 3), "it is mounted while it is claimed");
    if (index % 10 !== 0) await keeper.release(holder);
  });
  await Promise.all(users);
  t.equal((await mountedBelow(join(base, "mapped"))).length, 9, "users 0, 10 and 20 stay");
  for (const index of [0, 10, 20]) await keeper.release(`user ${index}`);
  t.same(await mountedBelow(join(base, "mapped")), []);
});

t.test("reconcile() keeps what claims want after a restart and takes away the rest", async (t) => {
  const base = scratch(t);
  const [one, two, anew] = folders(base, "one", "two", "anew") as [string, string, string];
  const folder = join(base, "mapped");
  await mountAll({ binding, mounts: [spec("tmpfs", "none")], target: anew });
  const before = await idmappedLowers({ binding, folder });
  const [kept] = await before.claim({ holder: "a", lowers: [one, anew], mapping: mapping(1000) });
  await before.claim({ holder: "gone", lowers: [one, two], mapping: mapping(2000) });
  folders(folder, "left over");
  // A layer that was mounted again meanwhile: the old mount behind the same path is of no use.
  await unmountAll({ binding, target: anew });
  await mountAll({ binding, mounts: [spec("tmpfs", "none")], target: anew });
  file(join(anew, "new"));
  const after = await idmappedLowers({ binding, folder });
  const claim = { lowers: [one, anew], mapping: mapping(1000) };
  await after.reconcile(new Map([["a", claim]]));
  t.same(await mountedBelow(folder), [kept], "one layer is still what it was");
  t.same(readdirSync(folder).length, 1);
  const paths = await after.claim({ holder: "a", ...claim });
  t.equal(paths[0], kept);
  t.same(readdirSync(paths[1]!), ["new"]);
  await after.release("a");
  t.same(await mountedBelow(folder), []);
  t.same(readdirSync(folder), []);
});
