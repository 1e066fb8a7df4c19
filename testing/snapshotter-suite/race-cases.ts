import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { withMounts } from "./mounting.js";
import { cases, type SuiteCases } from "./suite-case.js";
import type { SuiteRig } from "./suite-rig.js";

const RIVALS = 6;
const ROUNDS = 4;

function times<Result>(count: number, work: (index: number) => Result): Result[] {
  return Array.from({ length: count }, (_, index) => work(index));
}

async function sameKey(rig: SuiteRig): Promise<void> {
  for (let round = 0; round < ROUNDS; round += 1) {
    const key = rig.name("key");
    const make = async (index: number) => await (index % 2 === 0 ? rig.prepare(key) : rig.view(key));
    await rig.race(times(RIVALS, make), { done: 1, losers: ["ALREADY_EXISTS"], what: "one is made" });
    rig.t.ok((await rig.snapshotter.mounts(key)).length > 0);
    await rig.snapshotter.remove(key);
  }
}

async function sameName(rig: SuiteRig): Promise<void> {
  const keys = times(RIVALS, () => rig.name("key"));
  for (const key of keys)
    await withMounts(await rig.prepare(key), async (folder) => await writeFile(join(folder, key), key));
  const name = rig.name("name");
  const commits = keys.map(async (key) => await rig.commit(name, key));
  await rig.race(commits, { done: 1, losers: ["ALREADY_EXISTS"], what: "one is committed" });
  const left = await rig.ownNames(["kind==active"]);
  rig.t.equal(left.length, RIVALS - 1, "the others are as they were");
  const winner = keys.find((key) => !left.includes(key));
  rig.t.same(await rig.viewed(name, async (folder) => await readdir(folder)), [winner], "it is the winner's");
  for (const key of left)
    rig.t.same(await rig.mounted(key, async (folder) => await readdir(folder)), [key], "so are the others'");
  await rig.removeOwn();
}

async function commitTwice(rig: SuiteRig): Promise<void> {
  for (let round = 0; round < ROUNDS; round += 1) {
    const key = rig.name("key");
    await withMounts(await rig.prepare(key), async (folder) => await writeFile(join(folder, "x"), "x"));
    const names = times(RIVALS, () => rig.name("name"));
    const commits = names.map(async (name) => await rig.commit(name, key));
    await rig.race(commits, { done: 1, losers: ["NOT_FOUND"], what: "a key is committed once" });
    const [left = "", ...more] = await rig.ownNames();
    rig.t.ok(names.includes(left) && more.length === 0, "one name is there");
    await rig.cleanup();
    rig.t.same(await rig.viewed(left, async (folder) => await readdir(folder)), ["x"], "with its tree");
    await rig.removeOwn();
  }
}

async function removeTwice(rig: SuiteRig): Promise<void> {
  for (let round = 0; round < ROUNDS; round += 1) {
    const key = rig.name("key");
    await rig.prepare(key);
    const removals = times(RIVALS, async () => await rig.snapshotter.remove(key));
    await rig.race(removals, { done: 1, losers: ["NOT_FOUND"], what: "it is removed once" });
  }
}

async function commitOrRemove(rig: SuiteRig): Promise<void> {
  for (let round = 0; round < 2 * ROUNDS; round += 1) {
    const [key, name] = [rig.name("key"), rig.name("name")];
    await rig.prepare(key);
    const commit = () => rig.commit(name, key);
    const remove = () => rig.snapshotter.remove(key);
    const order = round % 2 === 0 ? [commit, remove] : [remove, commit];
    const calls = order.map(async (call) => await call());
    await rig.race(calls, { done: 1, losers: ["NOT_FOUND"], what: "one is done, the other finds no key" });
    rig.t.ok(!(await rig.has(key)), "the key is gone");
    if (!(await rig.has(name))) continue;
    rig.t.same(await rig.viewed(name, async (folder) => await readdir(folder)), [], "and has its tree");
    await rig.snapshotter.remove(name);
  }
}

async function childOrRemove(rig: SuiteRig): Promise<void> {
  for (let round = 0; round < 2 * ROUNDS; round += 1) {
    const parent = await rig.layer("", async (folder) => await writeFile(join(folder, "x"), "x"));
    const child = rig.name("child");
    const prepare = () => rig.prepare(child, parent);
    const remove = () => rig.snapshotter.remove(parent);
    const order = round % 2 === 0 ? [prepare, remove] : [remove, prepare];
    const calls = order.map(async (call) => await call());
    await rig.race(calls, {
      done: 1,
      losers: ["FAILED_PRECONDITION", "NOT_FOUND"],
      what: "a parent with a child stays, and one that is gone gets none",
    });
    rig.t.equal(await rig.has(child), await rig.has(parent), "child and parent, or none");
    await rig.cleanup();
    if (await rig.has(child))
      rig.t.same(await rig.mounted(child, async (folder) => await readdir(folder)), ["x"], "with its tree");
    await rig.removeOwn();
  }
}

async function manyAtOnce(rig: SuiteRig): Promise<void> {
  const base = await rig.layer("", async (folder) => await writeFile(join(folder, "base"), "x"));
  const keys = times(16, () => rig.name("key"));
  await Promise.all(keys.map(async (key) => await rig.prepare(key, base)));
  for (const key of keys) await rig.mounted(key, async (folder) => await writeFile(join(folder, "own"), key));
  const names = keys.map(() => rig.name("name"));
  await Promise.all(keys.map(async (key, index) => await rig.commit(names[index]!, key)));
  const found = await rig.own(["kind==committed"]);
  rig.t.equal(found.length, keys.length + 1, "all are committed");
  for (const name of names.slice(0, 4))
    rig.t.same(await rig.viewed(name, async (folder) => (await readdir(folder)).sort()), ["base", "own"]);
  await Promise.all(names.map(async (name) => await rig.snapshotter.remove(name)));
  await rig.snapshotter.remove(base);
  rig.t.same(await rig.ownNames(), [], "nothing is left");
}

/** Cases about calls at once: of those for one name exactly one is done, and the others' codes say why. */
export const raceCases: SuiteCases = cases([], {
  RaceForKey: sameKey,
  RaceForName: sameName,
  RaceToCommit: commitTwice,
  RaceToRemove: removeTwice,
  CommitOrRemove: commitOrRemove,
  ChildOrRemove: childOrRemove,
  ManyAtOnce: manyAtOnce,
  RaceToUpdate: async (rig) => {
    const name = rig.name("name");
    await rig.prepare(name);
    const keys = times(RIVALS, (index) => `key-${index}`);
    const update = async (key: string) =>
      await rig.snapshotter.update({ name, labels: { [key]: "1" }, fieldPaths: [`labels.${key}`] });
    await Promise.all(keys.map(update));
    const { labels } = await rig.snapshotter.stat(name);
    rig.t.same(
      Object.keys(labels)
        .filter((key) => keys.includes(key))
        .sort(),
      keys,
      "no update of a field loses another's",
    );
  },
});
