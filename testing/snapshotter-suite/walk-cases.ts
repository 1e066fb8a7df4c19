import { baseSet } from "./label-cases.js";
import { cases, type SuiteCases } from "./suite-case.js";
import { rootLabels, type SuiteRig } from "./suite-rig.js";

/** More than one message of a List holds. */
const LASTING = 110;
const AT_ONCE = 22;
const all = ["a1", "a2", "c1", "c2", "v1", "v2"];

/** Checks which of a base set each filter finds. */
function expecting(rig: SuiteRig): (filters: string[], names: string[]) => Promise<void> {
  return async (filters, names) => {
    const wanted = names.map((name) => `${rig.prefix}${name}`).sort();
    rig.t.same(await rig.ownNames(filters), wanted, filters.join(" or "));
  };
}

async function walks(rig: SuiteRig): Promise<void> {
  const { snapshotter } = rig;
  await baseSet(rig, rig.prefix);
  const label = { ...rootLabels, "containerd.io/gc.labels": "walk", l: "1" };
  for (const text of all) {
    const labels = text.endsWith("2") ? { ...label, l: "2" } : label;
    await snapshotter.update({ name: `${rig.prefix}${text}`, labels, fieldPaths: ["labels"] });
  }
  const expect = expecting(rig);
  const own = 'labels."containerd.io/gc.labels"==walk';
  await expect([`kind==active,${own}`], ["a1", "a2"]);
  await expect([`kind==view,${own}`], ["v1", "v2"]);
  await expect([`kind==committed,${own}`], ["c1", "c2"]);
  await expect([`name==${rig.prefix}c1`, `name=="${rig.prefix}a2"`], ["c1", "a2"]);
  await expect(["labels.l"], all);
  await expect(["labels.l==2"], ["c2", "a2", "v2"]);
  await expect([`parent==${rig.prefix}c2`], ["a1", "v1"]);
  await expect([`parent!="",${own}`], ["c2", "a1", "v1"]);
  await expect([`kind==active,parent==${rig.prefix}c2,${own}`], ["a1"]);
  await expect([`name~=/^${rig.prefix}[ac]1$/`], ["a1", "c1"]);
}

async function filters(rig: SuiteRig): Promise<void> {
  await baseSet(rig, rig.prefix);
  const name = (text: string): string => `${rig.prefix}${text}`;
  const labels = { ...rootLabels, 'odd "key"': "a,b", "dotted.key": "x y", number: "10" };
  await rig.snapshotter.update({ name: name("a1"), labels, fieldPaths: ["labels"] });
  const expect = expecting(rig);
  await expect([], all);
  await expect([""], all);
  await expect(["kind==active", "kind==view"], ["a1", "a2", "v1", "v2"]);
  await expect(["kind==active,kind==view"], []);
  await expect(["labels.dotted.key"], ["a1"]);
  await expect(['labels."dotted.key"=="x y"'], ["a1"]);
  await expect(['labels."odd \\"key\\""=="a,b"'], ["a1"]);
  await expect(["labels.number==10"], ["a1"]);
  await expect(["labels.number!=10"], all.slice(1));
  await expect(["labels.number!=11"], all);
  await expect(["labels.number~=^1[0-9]$"], ["a1"]);
  await expect(['labels.number~="0$"'], ["a1"]);
  await expect(["labels.constructor"], []);
  await expect(["labels.toString", "labels.hasOwnProperty"], []);
  await expect(['labels.none==""'], []);
  await expect(["unknown"], []);
  await expect(["unknown!=x"], all);
  await expect(["KIND==active"], []);
  await expect(["kind==Active"], []);
  await expect([`name~=|^${rig.prefix}c|`], ["c1", "c2"]);
  await expect([`parent==${name("c1")},kind!=view`], ["c2"]);
}

/** None of containerd's parsers takes one of these. */
export const badOnes = [
  "kind==active,",
  "==x",
  "kind=active",
  "kind active",
  'name=="open',
  "labels..x",
  "name==",
] as const;

async function badFilters(rig: SuiteRig): Promise<void> {
  for (const filter of badOnes) {
    await rig.refuses(filter, "INVALID_ARGUMENT", rig.walked([filter]));
    await rig.refuses(`kind or ${filter}`, "INVALID_ARGUMENT", rig.walked(["kind", filter]));
  }
}

async function walkBesideChanges(rig: SuiteRig): Promise<void> {
  const lasting = Array.from({ length: LASTING }, () => rig.name("lasting"));
  for (let from = 0; from < lasting.length; from += AT_ONCE)
    await Promise.all(lasting.slice(from, from + AT_ONCE).map(async (key) => await rig.prepare(key)));
  let isChanging = true;
  const changing = (async () => {
    while (isChanging) {
      const [key, name] = [rig.name("passing"), rig.name("passing")];
      await rig.prepare(key);
      await rig.commit(name, key);
      await rig.snapshotter.remove(name);
    }
  })();
  try {
    for (let round = 0; round < 5; round += 1) {
      const names = (await rig.walked()).map(({ name }) => name);
      rig.t.equal(new Set(names).size, names.length, "nothing comes twice");
      rig.t.same(
        lasting.filter((name) => !names.includes(name)),
        [],
        "what is there all the time is found",
      );
    }
  } finally {
    isChanging = false;
    await changing;
  }
  await rig.removeOwn();
}

/** Cases about Walk, and the filter language (containerd's pkg/filters). */
export const walkCases: SuiteCases = {
  ...cases([], {
    Walk: walks,
    Filters: filters,
    BadFilters: badFilters,
    WalkBesideChanges: walkBesideChanges,
    StatInWalk: async (rig) => {
      await rig.prepare(rig.name("walked"));
      for await (const info of rig.snapshotter.walk([])) {
        rig.t.same(await rig.snapshotter.stat(info.name), info);
      }
    },
    WriteInWalk: async (rig) => {
      for (let count = 0; count < 3; count += 1) await rig.prepare(rig.name("walked"));
      const own = `name~=/^${rig.prefix}walked/`;
      for await (const info of rig.snapshotter.walk([own])) await rig.snapshotter.remove(info.name);
      rig.t.same(await rig.ownNames(), [], "each was removed in the walk that found it");
    },
  }),
  ...cases(["walksInOrder"], {
    WalkInOrder: async (rig) => {
      for (const stem of ["b", "B", "é", "a/b", "a b", "a", "\u{1F600}", "￿"])
        await rig.prepare(`${rig.prefix}${stem}`);
      const names = (await rig.walked())
        .map(({ name }) => name)
        .filter((name) => name.startsWith(rig.prefix));
      const sorted = [...names].sort((left, right) => Buffer.compare(Buffer.from(left), Buffer.from(right)));
      rig.t.same(names, sorted, "in the order of the bytes of UTF-8");
    },
  }),
};
