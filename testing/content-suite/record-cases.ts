import type { Digest } from "../../src/bytes/index.js";
import type { Case, ContentRig } from "./suite-rig.js";

/** More than one message of a List. */
const MANY = 120;

async function found(rig: ContentRig, ...filters: string[]): Promise<Digest[]> {
  const digests: Digest[] = [];
  for await (const { digest } of rig.store.walk(filters)) digests.push(digest);
  return digests.sort();
}

/** Labels, times, filters and deletion. */
export const recordCases: Readonly<Record<string, Case>> = {
  Labels: async (rig) => {
    if (!rig.traits.keepsLabels) return void rig.t.pass("labels are not kept");
    const root = { "containerd.io/gc.root": "2026-01-01T00:00:00Z" };
    const { bytes, digest } = rig.sample(256);
    const writer = await rig.writer("c1", { total: 256, expected: digest });
    await writer.write(bytes);
    const labels = { k1: "v1", k2: "v2", ...root };
    const { window: created } = await rig.during(() =>
      writer.commit({ size: 0, expected: undefined, labels }),
    );
    await rig.checkInfo(digest, { size: 256, labels, created, updated: created });
    const changed = { k1: "newvalue", k3: "v3", ...root };
    const first = await rig.during(() => rig.store.update({ digest, labels: changed, fieldPaths: [] }));
    rig.t.strictSame(first.value.labels, changed);
    await rig.checkInfo(digest, { size: 256, labels: changed, created, updated: first.window });
    const last = { k1: "v1", ...root };
    const fieldPaths = ["labels.k3", "labels.k1"];
    const { window: updated } = await rig.during(() =>
      rig.store.update({ digest, labels: last, fieldPaths }),
    );
    await rig.checkInfo(digest, { size: 256, labels: last, created, updated });
  },

  FieldPaths: async (rig) => {
    if (!rig.traits.keepsLabels) return void rig.t.pass("labels are not kept");
    const sample = rig.sample(10);
    const { digest } = sample;
    await rig.put("paths", sample, { a: "1", "dotted.key/x": "2" });
    const update = async (labels: Record<string, string>, ...fieldPaths: string[]) =>
      (await rig.store.update({ digest, labels, fieldPaths })).labels;
    rig.t.strictSame(await update({ a: "9", "dotted.key/x": "3" }, "labels.dotted.key/x"), {
      a: "1",
      "dotted.key/x": "3",
    });
    rig.t.strictSame(await update({ b: "4" }, "labels"), { b: "4" });
    rig.t.strictSame(await update({ ünï: "🙂", b: "4" }), { b: "4", ünï: "🙂" });
    rig.t.strictSame(await update({}), {});
    await rig.fails("field size", "INVALID_ARGUMENT", update({}, "size"));
    await rig.fails("field digest", "INVALID_ARGUMENT", update({ a: "1" }, "labels.a", "digest"));
    await rig.checkInfo(digest, { size: 10, labels: {} });
    const missing = rig.sample(10).digest;
    await rig.fails(
      "a missing blob",
      "NOT_FOUND",
      rig.store.update({ digest: missing, labels: {}, fieldPaths: [] }),
    );
  },

  Walk: async (rig) => {
    const samples = Array.from({ length: MANY }, (_, index) => rig.sample(1000 + index));
    for (let start = 0; start < MANY; start += 10) {
      const group = samples.slice(start, start + 10);
      await Promise.all(
        group.map((sample, index) =>
          rig.put(`walk-${start + index}`, sample, { walk: String(start), "dotted.walk/x": "yes" }),
        ),
      );
    }
    const everything = await found(rig);
    rig.t.equal(new Set(everything).size, everything.length, "each blob once");
    for (const { digest } of samples) if (!everything.includes(digest)) rig.t.fail(`${digest} is missing`);
    const of = (from: number, to: number) => samples.slice(from, to).map(({ digest }) => digest);
    const [first, second] = of(0, 2) as [Digest, Digest];
    rig.t.same(await found(rig, `digest==${first}`), [first]);
    rig.t.same(await found(rig, `digest==${first}`, `digest==${second}`), [first, second].sort());
    await rig.fails("a bad filter", "INVALID_ARGUMENT", found(rig, "labels.=="));
    if (rig.traits.filtersBySize) rig.t.same(await found(rig, "size==1005"), of(5, 6));
    for await (const info of rig.store.walk([`digest==${first}`])) rig.t.equal(info.size, 1000);
    for await (const _ of rig.store.walk([])) break;
    if (!rig.traits.keepsLabels) return;
    rig.t.same(await found(rig, "labels.walk==10"), of(10, 20).sort());
    rig.t.same(await found(rig, "labels.walk==10", "labels.walk==30"), [...of(10, 20), ...of(30, 40)].sort());
    rig.t.same(await found(rig, 'labels."dotted.walk/x"'), of(0, MANY).sort());
    rig.t.same(await found(rig, `labels.walk==0,digest==${first}`), [first]);
    rig.t.same(await found(rig, `labels.walk==10,digest==${first}`), []);
    rig.t.same(await found(rig, "labels.walk~=/^11?0$/"), [...of(10, 20), ...of(110, 120)].sort());
  },

  Delete: async (rig) => {
    const sample = rig.sample(100);
    await rig.put("first", sample, { old: "label" });
    await rig.store.delete(sample.digest);
    await rig.fails("info", "NOT_FOUND", rig.store.info(sample.digest));
    await rig.fails("open", "NOT_FOUND", rig.store.open(sample.digest));
    await rig.fails("a second delete", "NOT_FOUND", rig.store.delete(sample.digest));
    rig.t.same(await found(rig, `digest==${sample.digest}`), []);
    // It can come again, and then has nothing of its first life. Not by its digest: a store that others share may
    // still have the bytes.
    const writer = await rig.writer("second");
    await writer.write(Buffer.from(sample.bytes));
    const { window } = await rig.during(() =>
      writer.commit({ size: 100, expected: sample.digest, labels: {} }),
    );
    await rig.checkInfo(sample.digest, { size: 100, labels: {}, created: window });
    await rig.checkBytes(sample.digest, sample.bytes);
  },
};
