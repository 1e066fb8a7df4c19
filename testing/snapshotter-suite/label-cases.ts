import { cases, type SuiteCases } from "./suite-case.js";
import { rootLabels, type SuiteRig } from "./suite-rig.js";

/** Bytes of a label's key and value together (containerd's pkg/labels). */
const LABEL_BYTES_MAX = 4096;
const LABELS = 200;

/** Two committed, two active and two views, with and without parents. */
export async function baseSet(rig: SuiteRig, prefix: string): Promise<void> {
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
    const labels = { ...rootLabels, l1: "v1", l2: "v2", l3: "v3" };
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
    t.same(some.labels, { ...rootLabels, l1: "updated", l3: "v3" });
    const only = { ...rootLabels, l1: "only" };
    const replaced = await snapshotter.update({ name, labels: only, fieldPaths: ["labels"] });
    t.same(replaced.labels, only);
    t.same(await snapshotter.stat(name), replaced);
    const fixed = snapshotter.update({ name, labels: {}, fieldPaths: ["parent"] });
    await rig.refuses("another parent", "INVALID_ARGUMENT", fixed);
  }
}

async function fieldPaths(rig: SuiteRig): Promise<void> {
  const { snapshotter, t } = rig;
  const name = rig.name("labelled");
  await rig.prepare(name, "", { plain: "1", "dotted.key/with-slash": "2", constructor: "3" });
  const update = async (fieldPaths: string[], labels: Record<string, string>) =>
    (await snapshotter.update({ name, labels, fieldPaths })).labels;
  const kept = { ...rootLabels, plain: "1" };
  const dotted = await update(["labels.dotted.key/with-slash"], {
    "dotted.key/with-slash": "new",
    plain: "x",
  });
  t.same(dotted, { ...kept, "dotted.key/with-slash": "new", constructor: "3" }, "dots belong to the key");
  const inherited = await update(["labels.constructor", "labels.toString"], {});
  t.same(inherited, { ...kept, "dotted.key/with-slash": "new" }, "an absent key goes");
  t.same(await update(["labels.dotted.key/with-slash"], { "dotted.key/with-slash": "" }), kept, "so does ''");
  t.same(await update(["labels.added"], { added: "4" }), { ...kept, added: "4" });
  t.same(
    await update(["labels", "labels.gone"], { ...rootLabels, one: "1", gone: "" }),
    { ...rootLabels, one: "1" },
    "paths apply one after the other",
  );
  const before = await snapshotter.stat(name);
  const half = snapshotter.update({ name, labels: { one: "2" }, fieldPaths: ["labels.one", "kind"] });
  await rig.refuses("a fixed field after another", "INVALID_ARGUMENT", half);
  t.same(await snapshotter.stat(name), before, "an update is done as a whole or not at all");
}

async function limits(rig: SuiteRig): Promise<void> {
  const { snapshotter, t } = rig;
  const key = "k".repeat(96);
  const longest = { [key]: "v".repeat(LABEL_BYTES_MAX - key.length) };
  const wide = { [key]: "ü".repeat((LABEL_BYTES_MAX - key.length) / 2) };
  const tooLong = { [key]: `${longest[key]}v` };
  const tooWide = { [key]: `${wide[key]}v` };
  const [name, other] = [rig.name("long"), rig.name("other")];
  await rig.prepare(name, "", longest);
  t.same((await snapshotter.stat(name)).labels, { ...rootLabels, ...longest });
  const updated = await snapshotter.update({ name, labels: { ...rootLabels, ...wide }, fieldPaths: [] });
  t.equal(updated.labels[key], wide[key], "bytes count, not characters");
  await rig.refuses("prepare with a long label", "INVALID_ARGUMENT", rig.prepare(other, "", tooLong));
  await rig.refuses("view with a long label", "INVALID_ARGUMENT", rig.view(other, "", tooWide));
  const update = (fieldPaths: string[]) => snapshotter.update({ name, labels: tooLong, fieldPaths });
  await rig.refuses("update to a long label", "INVALID_ARGUMENT", update([]));
  await rig.refuses("update of a long label", "INVALID_ARGUMENT", update([`labels.${key}`]));
  const commit = rig.commit(other, name, { labels: tooLong });
  await rig.refuses("commit with a long label", "INVALID_ARGUMENT", commit);
  t.ok(!(await rig.has(other)), "what is refused is not made");
}

/** Cases about labels: what Update replaces, what it takes away, and how much is taken. */
export const labelCases: SuiteCases = cases([], {
  Update: updates,
  FieldPaths: fieldPaths,
  LabelLimits: limits,
  ManyLabels: async (rig) => {
    const name = rig.name("many");
    const labels = Object.fromEntries(
      Array.from({ length: LABELS }, (_, index) => [`l${index}`, "v".repeat(100)]),
    );
    await rig.prepare(name, "", labels);
    rig.t.same((await rig.snapshotter.stat(name)).labels, { ...rootLabels, ...labels });
  },
  EmptyLabels: async (rig) => {
    const name = rig.name("empty");
    await rig.prepare(name, "", { empty: "", full: "1" });
    rig.t.same((await rig.snapshotter.stat(name)).labels, { ...rootLabels, full: "1" }, "'' is no value");
    const update = { name, labels: { ...rootLabels, full: "" }, fieldPaths: [] };
    rig.t.same((await rig.snapshotter.update(update)).labels, rootLabels);
  },
  CommitReplacesLabels: async (rig) => {
    const [key, name] = [rig.name("key"), rig.name("name")];
    await rig.prepare(key, "", { before: "1", both: "1" });
    await rig.commit(name, key, { labels: { both: "2", after: "2" } });
    rig.t.same((await rig.snapshotter.stat(name)).labels, { ...rootLabels, both: "2", after: "2" });
  },
});
