import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { parseDigest } from "../../src/bytes/index.js";
import { openMetadata, SnapshotTable } from "../../src/metadata/index.js";

const layer = (digit: string) => parseDigest(`sha256:${digit.repeat(64)}`);

async function tableFor(t: { teardown: (run: () => Promise<void>) => void }) {
  const directory = await mkdtemp(join(tmpdir(), "lazuli-table-"));
  let metadata = await openMetadata({ directory });
  t.teardown(async () => {
    await metadata.close();
    await rm(directory, { recursive: true });
  });
  let time = 0n;
  const open = () =>
    new SnapshotTable({ metadata, name: "", now: () => (time += 1_000_000_001n), idTaken: 0 });
  return {
    table: open(),
    reopen: async () => {
      await metadata.close();
      metadata = await openMetadata({ directory });
      return open();
    },
  };
}

function active(table: SnapshotTable, name: string, parent = "") {
  const facts = { labels: { a: "1", empty: "" }, origin: undefined, fallback: undefined };
  return table.create({ id: table.allocateId(), name, parent, kind: "active", ...facts });
}

function commit(table: SnapshotTable, key: string, name: string, parent = "") {
  return table.commit({ key, name, parent, labels: { b: "2" }, usage: { size: 10, inodes: 2 } });
}

function lazy(table: SnapshotTable, options: { target: string; parent?: string; digit?: string }) {
  const { target, parent = "", digit = "a" } = options;
  return table.createLazy({
    key: `extract ${target}`,
    target,
    parent,
    labels: { "containerd.io/snapshot.ref": target },
    layerDigest: layer(digit),
    origin: { reference: "host/image:1", digest: layer(digit) },
  });
}

t.test("SnapshotTable keeps rows and ids over a restart", async (t) => {
  const { table, reopen } = await tableFor(t);
  await active(table, "k1");
  const committed = await commit(table, "k1", "c1");
  await active(table, "k2", "c1");
  await lazy(table, { target: "sha256:t1", parent: "c1" });
  const rows = table.rows();
  t.same(
    rows.map((row) => row.name),
    ["c1", "k2", "sha256:t1"],
    "in name order",
  );
  t.match(committed, { id: 1, kind: "committed", labels: { b: "2" }, usage: { size: 10, inodes: 2 } });
  t.equal(committed.createdAt, committed.updatedAt);
  t.same(table.get("k2").labels, { a: "1" }, "empty labels are not stored");
  const again = await reopen();
  t.same(again.rows(), rows);
  t.equal(again.allocateId(), 4, "ids go on");
});

t.test("SnapshotTable answers misuse as containerd's storage does", async (t) => {
  const { table } = await tableFor(t);
  await active(table, "a");
  await active(table, "b");
  await commit(table, "b", "c");
  await t.rejects(active(table, "a"), { code: "ALREADY_EXISTS", message: "snapshot a" });
  await t.rejects(active(table, "x", "none"), {
    code: "NOT_FOUND",
    message: 'missing parent "none" bucket',
  });
  await t.rejects(active(table, "x", "a"), {
    code: "INVALID_ARGUMENT",
    message: 'parent "a" is not committed snapshot',
  });
  t.throws(() => table.get("none"), { code: "NOT_FOUND", message: "snapshot does not exist" });
  await t.rejects(commit(table, "none", "x"), {
    code: "NOT_FOUND",
    message: 'failed to get active snapshot "none"',
  });
  await t.rejects(commit(table, "a", "c"), {
    code: "ALREADY_EXISTS",
    message: "committed snapshot c",
  });
  await t.rejects(commit(table, "c", "x"), {
    code: "FAILED_PRECONDITION",
    message: 'snapshot "c" is not active',
  });
  await active(table, "child", "c");
  await t.rejects(table.remove("c"), {
    code: "FAILED_PRECONDITION",
    message: "failed to remove snapshot c: cannot remove snapshot with child",
  });
  await t.rejects(table.remove("none"), { code: "NOT_FOUND", message: /^failed to remove snapshot none/ });
  await t.rejects(active(table, ""), { code: "INVALID_ARGUMENT" });
  await t.rejects(active(table, "x".repeat(1025)), { code: "INVALID_ARGUMENT" });
});

t.test("commit() with a parent puts a snapshot without one onto it", async (t) => {
  const { table } = await tableFor(t);
  await active(table, "a");
  await commit(table, "a", "base");
  await active(table, "b");
  await active(table, "other", "base");
  await t.rejects(commit(table, "b", "x", "other"), { code: "FAILED_PRECONDITION" });
  await t.rejects(commit(table, "b", "x", "none"), { code: "NOT_FOUND" });
  t.equal((await commit(table, "b", "top", "base")).parent, "base");
  await t.rejects(commit(table, "other", "x", "top"), { code: "INVALID_ARGUMENT" });
  await table.remove("other");
  await t.rejects(table.remove("base"), { code: "FAILED_PRECONDITION" }, "top counts as its child");
  await table.remove("top");
  await table.remove("base");
  t.same(table.rows(), []);
});

t.test("createLazy() shares a target on the same parent and separates other parents", async (t) => {
  const { table } = await tableFor(t);
  const first = await lazy(table, { target: "T" });
  t.match(first, { name: "T", kind: "committed", target: "T", layerDigest: layer("a") });
  t.equal((await lazy(table, { target: "T" })).id, first.id, "the same again is the same row");
  await t.rejects(lazy(table, { target: "T", digit: "b" }), {
    code: "FAILED_PRECONDITION",
    reason: "target-of-another-layer",
  });
  await active(table, "k");
  await commit(table, "k", "base");
  const second = await lazy(table, { target: "T", parent: "base", digit: "b" });
  t.not(second.name, "T");
  t.equal(table.findRemote("T", "base")?.name, second.name);
  t.equal(table.findRemote("T", "")?.name, "T");
  t.equal(table.findRemote("T", "none"), undefined);
  await table.remove("T");
  t.equal(table.findRemote("T", ""), undefined);
  t.equal((await lazy(table, { target: "T", digit: "c" })).name, "T", "the name is free again");
  await table.relabel("T", () => ({ other: "1" }));
  t.equal(table.findRemote("T", ""), undefined, "containerd would not find it without its label");
  t.not((await lazy(table, { target: "T", digit: "c" })).name, "T");
});
