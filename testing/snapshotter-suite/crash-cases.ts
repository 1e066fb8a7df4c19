import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { armFailurePoint } from "../../src/observe/index.js";
import { cases, type SuiteCases } from "./suite-case.js";
import type { SuiteRig } from "./suite-rig.js";

interface Step {
  readonly name: string;
  /** Returns what is to be interrupted, and what must hold after the restart. */
  begin(rig: SuiteRig): Promise<{ work: () => Promise<unknown>; check: () => Promise<void> }>;
}

const read = async (folder: string): Promise<string> => await readFile(join(folder, "x"), "utf8");
const base = async (rig: SuiteRig): Promise<string> =>
  await rig.layer("", async (folder) => await writeFile(join(folder, "x"), "base"));

const creation = (name: "prepare" | "view", onParent: boolean): Step => ({
  name: `${name} ${onParent ? "on a parent" : "on nothing"}`,
  begin: async (rig) => {
    const parent = onParent ? await base(rig) : "";
    const key = rig.name("key");
    const work = async () => await rig[name](key, parent);
    const check = async (): Promise<void> => {
      if (!(await rig.has(key))) await work();
      const found = await rig.mounted(key, async (folder) => await read(folder).catch(() => "empty"));
      rig.t.equal(found, onParent ? "base" : "empty", "the key is made, or can be");
    };
    return { work, check };
  },
});

const commit: Step = {
  name: "commit",
  begin: async (rig) => {
    const [key, name] = [rig.name("key"), rig.name("name")];
    await rig.prepare(key, await base(rig));
    await rig.mounted(key, async (folder) => await writeFile(join(folder, "x"), "changed"));
    const check = async (): Promise<void> => {
      const [hasKey, hasName] = [await rig.has(key), await rig.has(name)];
      rig.t.ok(hasKey !== hasName, "it is committed or active, never both or none");
      if (hasKey) {
        rig.t.equal(await rig.mounted(key, read), "changed", "still to be used");
        await rig.mounted(key, async (folder) => await writeFile(join(folder, "x"), "changed again"));
        await rig.commit(name, key);
      }
      rig.t.equal(await rig.viewed(name, read), hasKey ? "changed again" : "changed");
      rig.t.ok((await rig.snapshotter.usage(name)).inodes > 0, "was measured");
    };
    return { work: async () => await rig.commit(name, key), check };
  },
};

const removal = (kind: "active" | "committed" | "view"): Step => ({
  name: `remove ${kind}`,
  begin: async (rig) => {
    const name = rig.name("name");
    const parent = await base(rig);
    if (kind === "view") await rig.view(name, parent);
    else await rig.prepare(kind === "active" ? name : `${name} key`, parent);
    if (kind === "committed") await rig.commit(name, `${name} key`);
    const work = async () => await rig.snapshotter.remove(name);
    const check = async (): Promise<void> => {
      if (await rig.has(name)) {
        if (kind === "committed") rig.t.equal(await rig.viewed(name, read), "base", "still to be used");
        else rig.t.equal(await rig.mounted(name, read), "base", "still to be used");
        await work();
      }
      rig.t.equal(await rig.viewed(parent, read), "base", "what is below is as it was");
    };
    return { work, check };
  },
});

const cleanup: Step = {
  name: "cleanup",
  begin: async (rig) => {
    const parent = await base(rig);
    const name = await base(rig);
    await rig.snapshotter.remove(name);
    const check = async (): Promise<void> => {
      rig.t.equal(await rig.viewed(parent, read), "base", "what is in use is as it was");
    };
    return { work: async () => await rig.snapshotter.cleanup(), check };
  },
};

const steps: readonly Step[] = [
  creation("prepare", false),
  creation("prepare", true),
  creation("view", false),
  creation("view", true),
  commit,
  removal("active"),
  removal("committed"),
  removal("view"),
  cleanup,
];

/** Ends a step at a point and restarts. Returns whether the step came by there. */
async function interrupted(rig: SuiteRig, point: string, step: Step): Promise<boolean> {
  const { work, check } = await step.begin(rig);
  let isPassed = false;
  const fire = (): never => {
    isPassed = true;
    throw new Error(`ended at ${point}`);
  };
  armFailurePoint({ name: point, pass: 1, fire });
  // Whether the caller is told depends on the point: what may be tried again later is only logged.
  await work().catch(() => undefined);
  armFailurePoint({ name: "none", pass: 1, fire: () => undefined });
  if (!isPassed) return false;
  await rig.restart();
  await check();
  return true;
}

/** Cases about an end at each point between two steps of a snapshotter: every step is done, or can be done again. */
export const crashCases: SuiteCases = cases(["restart", "failurePoints", "trees"], {
  EndedAtEachPoint: async (rig) => {
    await rig.snapshotter.cleanup();
    const before = await rig.trees();
    for (const point of rig.traits.failurePoints) {
      const passed: string[] = [];
      for (const step of steps) if (await interrupted(rig, point, step)) passed.push(step.name);
      rig.t.ok(passed.length > 0, `${point} lies in: ${passed.join(", ")}`);
      await rig.removeOwn();
      await rig.snapshotter.cleanup();
      rig.t.same(await rig.trees(), before, `${point} leaves nothing behind`);
    }
  },
});
