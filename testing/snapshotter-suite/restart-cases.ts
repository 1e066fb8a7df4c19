import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { baseSet } from "./label-cases.js";
import { cases, type SuiteCases } from "./suite-case.js";
import { makeFolder, rootLabels, type SuiteRig } from "./suite-rig.js";
import { treeFacts } from "./tree-facts.js";

/** The life of two layers and a container, with a restart after each step. */
async function betweenSteps(rig: SuiteRig): Promise<void> {
  const { t } = rig;
  const [first, second, base, top] = ["first", "second", "base", "top"].map((stem) => rig.name(stem)) as [
    string,
    string,
    string,
    string,
  ];
  const step = async (work: () => Promise<unknown>): Promise<void> => {
    await work();
    const before = await rig.own();
    await rig.restart();
    t.same(await rig.own(), before, "all is as it was");
  };
  await rig.withFolder(async (flat) => {
    await step(async () => await rig.prepare(first, "", { label: "1" }));
    const fill = async (folder: string): Promise<void> => {
      await makeFolder(join(folder, "dir"));
      await writeFile(join(folder, "dir/file"), "one");
      await writeFile(join(folder, "gone"), "gone");
    };
    await fill(flat);
    await step(async () => await rig.mounted(first, fill));
    t.same(await rig.mounted(first, treeFacts), await treeFacts(flat), "what was written is there");
    await step(async () => await rig.commit(base, first, { labels: { label: "2" } }));
    const usage = await rig.snapshotter.usage(base);
    await rig.checkView(base, flat, "the first layer");
    await step(async () => await rig.prepare(second, base));
    const change = async (folder: string): Promise<void> => {
      await rm(join(folder, "gone"));
      await writeFile(join(folder, "dir/file"), "two");
    };
    await change(flat);
    await step(async () => await rig.mounted(second, change));
    await step(async () => await rig.commit(top, second));
    await rig.checkView(top, flat, "both layers");
    const view = rig.name("seen");
    await step(async () => await rig.view(view, top));
    t.same(await rig.mounted(view, treeFacts), await treeFacts(flat), "a view from before");
    const labels = { ...rootLabels, label: "3" };
    await step(async () => await rig.snapshotter.update({ name: top, labels, fieldPaths: [] }));
    t.same(await rig.snapshotter.usage(base), usage, "usage is remembered");
    await rig.refuses("remove a parent", "FAILED_PRECONDITION", rig.snapshotter.remove(base));
    for (const name of [view, top, base]) await step(async () => await rig.snapshotter.remove(name));
  });
  t.same(await rig.ownNames(), []);
}

async function oldTrees(rig: SuiteRig): Promise<void> {
  const key = rig.name("key");
  await rig.prepare(key);
  await rig.mounted(key, async (folder) => await writeFile(join(folder, "old"), "old"));
  await rig.snapshotter.remove(key);
  await rig.restart();
  await rig.prepare(key);
  rig.t.same(await rig.mounted(key, async (folder) => await readdir(folder)), [], "begins empty");
  await rig.cleanup();
  await rig.mounted(key, async (folder) => await writeFile(join(folder, "new"), "new"));
  await rig.restart();
  await rig.cleanup();
  const read = async (folder: string) => await readFile(join(folder, "new"), "utf8");
  rig.t.equal(await rig.mounted(key, read), "new", "and is not cleaned away with the old one");
}

/** Cases about a snapshotter that is closed and opened again over the same files. */
export const restartCases: SuiteCases = cases(["restart"], {
  RestartBetweenSteps: betweenSteps,
  RestartKeepsRecords: async (rig) => {
    await baseSet(rig, rig.prefix);
    const labels = { ...rootLabels, 'odd "key"': "ä\n", other: "v".repeat(3000) };
    await rig.snapshotter.update({ name: `${rig.prefix}c2`, labels, fieldPaths: [] });
    await rig.prepare(`${rig.prefix}odd \u{1F433}/../x\n`, `${rig.prefix}c2`);
    const before = await rig.walked();
    await rig.restart();
    rig.t.same(await rig.walked(), before, "to the nanosecond");
    await rig.removeOwn();
  },
  RestartForgetsTrees: oldTrees,
});
