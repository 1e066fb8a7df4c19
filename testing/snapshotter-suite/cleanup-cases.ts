import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { cases, type SuiteCases } from "./suite-case.js";
import type { Applier, SuiteRig } from "./suite-rig.js";

const file: Applier = async (folder) => await writeFile(join(folder, "x"), "kept");
const read = async (folder: string): Promise<string> => await readFile(join(folder, "x"), "utf8");

/** A committed one, an active one and a view that must outlive every cleaning. */
async function survivors(rig: SuiteRig): Promise<() => Promise<void>> {
  const base = await rig.layer("", file);
  const above = await rig.layer(base, async (folder) => await writeFile(join(folder, "y"), "y"));
  const [active, view] = [rig.name("active"), rig.name("view")];
  await rig.prepare(active, above);
  await rig.view(view, above);
  return async () => {
    rig.t.equal(await rig.viewed(base, read), "kept");
    rig.t.equal(await rig.mounted(active, read), "kept");
    rig.t.equal(await rig.mounted(view, read), "kept");
  };
}

async function treesGo(rig: SuiteRig): Promise<void> {
  const { snapshotter, t } = rig;
  const check = await survivors(rig);
  await snapshotter.cleanup();
  const before = await rig.trees();
  const base = await rig.layer("", file);
  const middle = await rig.layer(base, file);
  const [active, view] = [rig.name("goes"), rig.name("goes")];
  await rig.prepare(active, middle);
  await rig.mounted(active, async (folder) => await writeFile(join(folder, "more"), "x"));
  await rig.view(view, middle);
  t.ok((await rig.trees()).length > before.length, "there are more trees");
  for (const name of [active, view, middle, base]) await snapshotter.remove(name);
  await snapshotter.cleanup();
  t.same(await rig.trees(), before, "what was removed is gone from the disk");
  await check();
}

async function orphansGo(rig: SuiteRig): Promise<void> {
  const check = await survivors(rig);
  await rig.snapshotter.cleanup();
  const before = await rig.trees();
  await rig.plantOrphan();
  rig.t.ok((await rig.trees()).length > before.length, "there is an orphan");
  await rig.snapshotter.cleanup();
  rig.t.same(await rig.trees(), before, "the orphan is gone");
  await check();
}

async function orphansGoAfterRestart(rig: SuiteRig): Promise<void> {
  const check = await survivors(rig);
  await rig.snapshotter.cleanup();
  const before = await rig.trees();
  await rig.plantOrphan();
  await rig.restart();
  const key = rig.name("fresh");
  await rig.prepare(key);
  rig.t.same(await rig.mounted(key, async (folder) => await readFile(join(folder, "x")).catch(() => "")), "");
  await rig.snapshotter.remove(key);
  await rig.snapshotter.cleanup();
  rig.t.same(await rig.trees(), before, "the orphan is gone, and nobody was given its tree");
  await check();
}

/** Cases about what removed and abandoned snapshots leave behind. */
export const cleanupCases: SuiteCases = {
  ...cases([], {
    Cleanup: async (rig) => {
      const check = await survivors(rig);
      const gone = await rig.layer("", file);
      await rig.snapshotter.remove(gone);
      await rig.snapshotter.cleanup();
      await rig.snapshotter.cleanup();
      await check();
    },
    CleanupBesideChanges: async (rig) => {
      let isChanging = true;
      const change = async (): Promise<void> => {
        for (let round = 0; round < 8; round += 1) {
          const base = await rig.layer("", file);
          const key = rig.name("key");
          await rig.prepare(key, base);
          rig.t.equal(await rig.mounted(key, read), "kept");
          if (round % 2 === 0) await rig.snapshotter.remove(key);
        }
      };
      const clean = async (): Promise<void> => {
        while (isChanging) await rig.snapshotter.cleanup();
      };
      await Promise.all([change().finally(() => (isChanging = false)), clean()]);
      for (const { name } of await rig.own(["kind==active"]))
        rig.t.equal(await rig.mounted(name, read), "kept");
      await rig.removeOwn();
    },
  }),
  ...cases(["trees"], { CleanupOfRemoved: treesGo }),
  ...cases(["trees", "orphans"], { CleanupOfOrphans: orphansGo }),
  ...cases(["trees", "orphans", "restart"], { OrphansAfterRestart: orphansGoAfterRestart }),
};
