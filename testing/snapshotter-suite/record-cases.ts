import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { cases, type SuiteCases } from "./suite-case.js";
import { makeFolder, type SuiteRig } from "./suite-rig.js";
import { treeFacts } from "./tree-facts.js";

async function basic(rig: SuiteRig): Promise<void> {
  const { snapshotter, t } = rig;
  const [first, second] = [rig.name("first"), rig.name("second")];
  const [base, top] = [rig.name("base"), rig.name("top")];
  const initial = async (folder: string): Promise<void> => {
    await makeFolder(join(folder, "a/b/c"));
    await writeFile(join(folder, "foo"), "foo\n");
    await writeFile(join(folder, "a/b/c/file"), "deep\n");
  };
  const change = async (folder: string): Promise<void> => {
    await writeFile(join(folder, "bar"), "bar\n");
    await writeFile(join(folder, "foo"), "changed\n");
    await rm(join(folder, "a/b"), { recursive: true });
  };
  const mounts = await rig.prepare(first);
  t.ok(mounts.length >= 1, "there is a mount");
  await rig.mounted(first, initial);
  await rig.commit(base, first);
  t.match(await snapshotter.stat(base), { parent: "", kind: "committed", name: base });
  await rig.refuses("the old key", "NOT_FOUND", snapshotter.stat(first));
  await rig.prepare(second, base);
  await rig.withFolder(async (flat) => {
    await initial(flat);
    t.same(await rig.mounted(second, treeFacts), await treeFacts(flat), "begins as its parent");
    await change(flat);
    await rig.mounted(second, change);
    t.match(await snapshotter.stat(second), { parent: base, kind: "active" });
    await rig.commit(top, second);
    const found = (await rig.walked()).find((info) => info.name === top);
    t.same(found, await snapshotter.stat(top), "Walk and Stat say the same");
    await rig.checkView(top, flat, "has both changes");
  });
  await t.rejects(snapshotter.remove(base), { code: "FAILED_PRECONDITION", message: /remove/ });
  await snapshotter.remove(top);
  await snapshotter.remove(base);
}

async function removals(rig: SuiteRig): Promise<void> {
  const { snapshotter } = rig;
  await rig.prepare("reuse");
  await snapshotter.remove("reuse");
  await rig.view("reuse");
  await snapshotter.remove("reuse");
  await rig.prepare("reuse");
  await snapshotter.remove("reuse");
  await rig.prepare("reuse");
  await rig.commit("committed-reuse", "reuse");
  await rig.prepare("reuse-1");
  await snapshotter.remove("committed-reuse");
  await rig.commit("committed-reuse", "reuse-1");
  rig.t.match(await snapshotter.stat("committed-reuse"), { kind: "committed", parent: "" });
}

async function times(rig: SuiteRig): Promise<void> {
  const { snapshotter, t } = rig;
  const within = (time: bigint, from: bigint, what: string): void =>
    void t.ok(from <= time && time <= rig.now(), `${what}: ${time} is after ${from} and not in the future`);
  const stamps: bigint[] = [];
  for (let round = 0; round < 4; round += 1) {
    const [key, name] = [rig.name("key"), rig.name("name")];
    const begin = rig.now();
    await rig.prepare(key);
    const active = await snapshotter.stat(key);
    within(active.createdAt, begin, "made");
    t.equal(active.updatedAt, active.createdAt);
    const middle = rig.now();
    await rig.commit(name, key);
    const committed = await snapshotter.stat(name);
    within(committed.createdAt, middle, "a committed snapshot is made by its commit");
    t.equal(committed.updatedAt, committed.createdAt);
    stamps.push(active.createdAt, committed.createdAt);
  }
  t.ok(
    stamps.some((time) => time % 1_000_000n !== 0n),
    "times are finer than milliseconds",
  );
}

/** Cases about the records of snapshots: what is there, of which kind, and when it was made. */
export const recordCases: SuiteCases = cases([], {
  Basic: basic,
  Remove: removals,
  Times: times,
  StatActive: async (rig) => {
    const key = rig.name("stat");
    await rig.prepare(key);
    rig.t.match(await rig.snapshotter.stat(key), { name: key, kind: "active", parent: "" });
  },
  StatCommitted: async (rig) => {
    const name = await rig.layer("", async (folder) => await writeFile(join(folder, "x"), "x"));
    rig.t.match(await rig.snapshotter.stat(name), { name, kind: "committed", parent: "" });
  },
  Transitivity: async (rig) => {
    const below = await rig.layer("", async (folder) => await writeFile(join(folder, "x"), "x"));
    const above = await rig.layer(below, async (folder) => await writeFile(join(folder, "y"), "y"));
    rig.t.equal((await rig.snapshotter.stat(above)).parent, below);
    rig.t.equal((await rig.snapshotter.stat(below)).parent, "");
  },
  PrepareViewFailing: async (rig) => {
    const [active, view] = [rig.name("active"), rig.name("view")];
    await rig.prepare(active);
    await rig.refuses("a view of a key in use", "ALREADY_EXISTS", rig.view(active));
    await rig.refuses("a key in use", "ALREADY_EXISTS", rig.prepare(active));
    await rig.view(view);
    await rig.refuses("a view twice", "ALREADY_EXISTS", rig.view(view));
    await rig.refuses("the key of a view", "ALREADY_EXISTS", rig.prepare(view));
  },
  RemoveIntermediateSnapshot: async (rig) => {
    const { snapshotter } = rig;
    const base = await rig.layer("", async (folder) => await writeFile(join(folder, "x"), "x"));
    const middle = await rig.layer(base, async (folder) => await writeFile(join(folder, "y"), "y"));
    const top = rig.name("top");
    await rig.prepare(top, middle);
    await rig.refuses("below an active one", "FAILED_PRECONDITION", snapshotter.remove(middle));
    await rig.refuses("below a committed one", "FAILED_PRECONDITION", snapshotter.remove(base));
    for (const name of [top, middle, base]) await snapshotter.remove(name);
    await rig.refuses("what is removed", "NOT_FOUND", snapshotter.stat(base));
  },
  MountsAgain: async (rig) => {
    const base = await rig.layer("", async (folder) => await writeFile(join(folder, "x"), "x"));
    const [active, view] = [rig.name("active"), rig.name("view")];
    const prepared = await rig.prepare(active, base);
    const viewed = await rig.view(view, base);
    rig.t.same(await rig.snapshotter.mounts(active), prepared, "as prepared");
    rig.t.same(await rig.snapshotter.mounts(active), prepared, "any number of times");
    rig.t.same(await rig.snapshotter.mounts(view), viewed, "as viewed");
  },
});
