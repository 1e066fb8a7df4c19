import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { SnapshotInfo } from "../../src/snapshotters/index.js";
import { makeFolder, rootLabels, type SuiteRig } from "./suite-rig.js";
import type { SuiteCase } from "./tree-cases.js";
import { treeFacts } from "./tree-facts.js";

async function walked(rig: SuiteRig, filters: readonly string[] = []): Promise<SnapshotInfo[]> {
  const infos: SnapshotInfo[] = [];
  for await (const info of rig.snapshotter.walk(filters)) infos.push(info);
  return infos;
}

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
  const mounts = await snapshotter.prepare({ key: first, parent: "", labels: rootLabels });
  t.ok(mounts.length >= 1, "there is a mount");
  await rig.mounted(first, initial);
  await rig.commit(base, first);
  t.match(await snapshotter.stat(base), { parent: "", kind: "committed", name: base });
  await t.rejects(snapshotter.stat(first), { code: "NOT_FOUND" }, "the key is gone");
  await rig.prepare(second, base);
  await rig.withFolder(async (flat) => {
    await initial(flat);
    t.same(await rig.mounted(second, treeFacts), await treeFacts(flat), "begins as its parent");
    await change(flat);
    await rig.mounted(second, change);
    t.match(await snapshotter.stat(second), { parent: base, kind: "active" });
    await rig.commit(top, second);
    const found = (await walked(rig)).find((info) => info.name === top);
    t.same(found, await snapshotter.stat(top), "Walk and Stat say the same");
    await rig.checkView(top, flat, "has both changes");
  });
  await t.rejects(snapshotter.remove(base), { code: "FAILED_PRECONDITION", message: /remove/ });
  await snapshotter.remove(top);
  await snapshotter.remove(base);
}

async function updates(rig: SuiteRig): Promise<void> {
  const { snapshotter, t } = rig;
  const before = rig.now();
  await baseSet(rig, "");
  const after = rig.now();
  const wanted: Record<string, [string, string]> = {
    c1: ["committed", ""],
    c2: ["committed", "c1"],
    a1: ["active", "c2"],
    a2: ["active", ""],
    v1: ["view", "c2"],
    v2: ["view", ""],
  };
  for (const [name, [kind, parent]] of Object.entries(wanted)) {
    const info = await snapshotter.stat(name);
    t.match(info, { name, kind, parent });
    t.ok(info.createdAt >= before && info.createdAt <= after, `${name} was made in between`);
    t.equal(info.createdAt, info.updatedAt, `${name} was not updated`);
    const labels = { l1: "v1", l2: "v2", l3: "v3" };
    const begin = rig.now();
    const updated = await snapshotter.update({ name, labels, fieldPaths: [] });
    t.match(updated, { parent, createdAt: info.createdAt });
    t.same(updated.labels, labels);
    t.ok(updated.updatedAt >= begin && updated.updatedAt <= rig.now(), `${name} is updated now`);
    const some = await snapshotter.update({
      name,
      labels: { l1: "updated", l4: "not written" },
      fieldPaths: ["labels.l1", "labels.l2"],
    });
    t.same(some.labels, { l1: "updated", l3: "v3" });
    const replaced = await snapshotter.update({ name, labels: { l1: "only" }, fieldPaths: ["labels"] });
    t.same(replaced.labels, { l1: "only" });
    t.same(await snapshotter.stat(name), replaced);
    const fixed = snapshotter.update({ name, labels: {}, fieldPaths: ["parent"] });
    await t.rejects(fixed, { code: "INVALID_ARGUMENT" });
  }
}

/** Two committed, two active and two views, with and without parents. */
async function baseSet(rig: SuiteRig, prefix: string): Promise<void> {
  const name = (text: string): string => `${prefix}${text}`;
  await rig.prepare(name("c1-a"));
  await rig.commit(name("c1"), name("c1-a"));
  await rig.prepare(name("c2-a"), name("c1"));
  await rig.commit(name("c2"), name("c2-a"));
  await rig.prepare(name("a1"), name("c2"));
  await rig.prepare(name("a2"));
  await rig.view(name("v1"), name("c2"));
  await rig.view(name("v2"));
}

async function walks(rig: SuiteRig): Promise<void> {
  const { snapshotter, t } = rig;
  await baseSet(rig, "walk-");
  const label = { "containerd.io/gc.labels": "walk", l: "1" };
  for (const name of ["c1", "c2", "a1", "a2", "v1", "v2"].map((text) => `walk-${text}`)) {
    const labels = name.endsWith("2") ? { ...label, l: "2" } : label;
    await snapshotter.update({ name, labels, fieldPaths: ["labels"] });
  }
  const expect = async (filters: string[], names: string[]): Promise<void> => {
    const found = (await walked(rig, filters))
      .map((info) => info.name)
      .filter((name) => name.startsWith("walk-"));
    t.same(found, names.map((name) => `walk-${name}`).sort(), filters.join(" or "));
  };
  const own = 'labels."containerd.io/gc.labels"==walk';
  await expect([`kind==active,${own}`], ["a1", "a2"]);
  await expect([`kind==view,${own}`], ["v1", "v2"]);
  await expect([`kind==committed,${own}`], ["c1", "c2"]);
  await expect(["name==walk-c1", 'name=="walk-a2"'], ["c1", "a2"]);
  await expect(["labels.l"], ["c1", "c2", "a1", "a2", "v1", "v2"]);
  await expect(["labels.l==2"], ["c2", "a2", "v2"]);
  await expect(["parent==walk-c2"], ["a1", "v1"]);
  await expect([`parent!="",${own}`], ["c2", "a1", "v1"]);
  await expect([`kind==active,parent==walk-c2,${own}`], ["a1"]);
  await expect(["name~=/^walk-[ac]1$/"], ["a1", "c1"]);
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

/** Cases about the records of snapshots: what Stat, Update and Walk say, and what is refused. */
export const recordCases: Readonly<Record<string, SuiteCase>> = {
  Basic: basic,
  Update: updates,
  Walk: walks,
  Remove: removals,
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
    const [below] = [await rig.layer("", async (folder) => await writeFile(join(folder, "x"), "x"))];
    const above = await rig.layer(below, async (folder) => await writeFile(join(folder, "y"), "y"));
    rig.t.equal((await rig.snapshotter.stat(above)).parent, below);
    rig.t.equal((await rig.snapshotter.stat(below)).parent, "");
  },
  PrepareViewFailing: async (rig) => {
    const [active, view] = [rig.name("active"), rig.name("view")];
    await rig.prepare(active);
    await rig.t.rejects(rig.view(active), { code: "ALREADY_EXISTS" });
    await rig.t.rejects(rig.prepare(active), { code: "ALREADY_EXISTS" });
    await rig.view(view);
    await rig.t.rejects(rig.view(view), { code: "ALREADY_EXISTS" });
    await rig.t.rejects(rig.prepare(rig.name("x"), rig.name("unknown")), { code: "NOT_FOUND" });
    await rig.t.rejects(rig.prepare(rig.name("x"), active), { code: "INVALID_ARGUMENT" });
  },
  RemoveIntermediateSnapshot: async (rig) => {
    const { snapshotter, t } = rig;
    const base = await rig.layer("", async (folder) => await writeFile(join(folder, "x"), "x"));
    const middle = await rig.layer(base, async (folder) => await writeFile(join(folder, "y"), "y"));
    const top = rig.name("top");
    await rig.prepare(top, middle);
    await t.rejects(snapshotter.remove(middle), { code: "FAILED_PRECONDITION" });
    await t.rejects(snapshotter.remove(base), { code: "FAILED_PRECONDITION" });
    for (const name of [top, middle, base]) await snapshotter.remove(name);
    await t.rejects(snapshotter.stat(base), { code: "NOT_FOUND" });
  },
  StatInWalk: async (rig) => {
    await rig.prepare(rig.name("walked"));
    for await (const info of rig.snapshotter.walk([])) {
      rig.t.same(await rig.snapshotter.stat(info.name), info);
    }
  },
};
