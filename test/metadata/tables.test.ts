import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { open } from "lmdb";
import t from "tap";
import { counters, type KeyParts, openMetadata, type Table } from "../../src/metadata/index.js";
import { type Migration, migrate, migrations } from "../../src/metadata/migrations.js";
import { encodeRecord } from "../../src/metadata/record.js";
import { snapshotRows } from "../../src/metadata/snapshot-row.js";

const texts: Table<string> = {
  name: "texts",
  encode: (value) => value,
  decode: (value) => value as string,
};

async function folderFor(t: { teardown: (run: () => Promise<void>) => void }): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-tables-"));
  t.teardown(async () => await rm(folder, { recursive: true, force: true }));
  return folder;
}

async function metadataFor(t: { teardown: (run: () => Promise<void>) => void }) {
  const directory = await folderFor(t);
  const metadata = await openMetadata({ directory });
  t.teardown(async () => await metadata.close());
  return metadata;
}

/** In the order of UTF-8, numbers first. */
const keys: KeyParts[] = [
  [2],
  [10],
  ["a", 3, "x"],
  ["a", ""],
  ["a", "\t"],
  ["a", "b"],
  ["a", "b", "c"],
  ["a", "b!"],
  ["a", "x".repeat(100), "y"],
  ["a", "\u{e000}"],
  ["a", "\u{ffff}"],
  ["a", "\u{10000}"],
  ["ab"],
  ["é", "ü"],
];

t.test("entries() gives what has a prefix, in the order of the keys", async (t) => {
  const metadata = await metadataFor(t);
  await metadata.write((transaction) => {
    for (const key of [...keys].reverse()) transaction.put(texts, key, JSON.stringify(key));
  });
  const stored = [...metadata.entries(texts, [])];
  t.same(
    stored.map(({ key }) => key),
    keys,
  );
  for (const { key, value } of stored) t.equal(value, JSON.stringify(key));
  const under = (prefix: KeyParts) => Array.from(metadata.entries(texts, prefix), ({ key }) => key);
  t.same(under(["a"]), keys.slice(2, 12), "and not ab");
  t.same(under(["a", "b"]), [
    ["a", "b"],
    ["a", "b", "c"],
  ]);
  t.same(under(["none"]), []);
  t.same(under(["x".repeat(3000)]), [], "no such key can be");
  t.equal(metadata.get(texts, "ab"), metadata.get(texts, ["ab"]), "a text is a list of one");
});

t.test("page() goes on behind a key, also one that is gone", async (t) => {
  const metadata = await metadataFor(t);
  await metadata.write((transaction) => {
    for (const key of keys) transaction.put(texts, key, "");
  });
  const seen: KeyParts[] = [];
  for (let after: KeyParts | undefined; ; ) {
    const page = metadata.page(texts, ["a"], { after, limit: 3 });
    seen.push(...page.map(({ key }) => key));
    if (page.length < 3) break;
    after = page.at(-1)!.key;
    const last = after;
    await metadata.write((transaction) => transaction.delete(texts, last));
  }
  t.same(seen, keys.slice(2, 12));
});

t.test("entries() of a transaction has its changes and those of the actions before it", async (t) => {
  const metadata = await metadataFor(t);
  for (let seed = 1; seed <= 30; seed += 1) {
    const directoryKeys = keys.map((key) => [String(seed), ...key]);
    const pick = (salt: number) => directoryKeys.filter((_, index) => (index * 7 + seed * salt) % 3 === 0);
    const model = new Map<string, string>();
    const change = (round: string, salt: number) =>
      metadata.write((transaction) => {
        for (const key of pick(salt)) {
          model.set(JSON.stringify(key), round);
          transaction.put(texts, key, round);
        }
        for (const key of pick(salt + 1)) {
          model.delete(JSON.stringify(key));
          transaction.delete(texts, key);
        }
        const expected = directoryKeys.filter((key) => model.has(JSON.stringify(key)));
        const found = [...transaction.entries(texts, [String(seed)])];
        t.same(
          found.map(({ key }) => key),
          expected,
          `seed ${seed} ${round}`,
        );
        t.same(
          found.map(({ value }) => value),
          expected.map((key) => model.get(JSON.stringify(key))),
        );
      });
    await change("durable", 1);
    await Promise.all([change("before", 2), change("own", 4)]);
  }
});

t.test("put() refuses a key that LMDB can't hold, before the write", async (t) => {
  const metadata = await metadataFor(t);
  const refused = { code: "INVALID_ARGUMENT", reason: "metadata-key-invalid" };
  const put = (key: KeyParts) => metadata.write((transaction) => transaction.put(texts, key, "v"));
  const longest = ["n".repeat(76), "é".repeat(949)];
  await put(longest);
  t.equal(metadata.get(texts, longest), "v");
  t.same(
    Array.from(metadata.entries(texts, []), ({ key }) => key),
    [longest],
  );
  await t.rejects(put(["n".repeat(76), `${"é".repeat(949)}xxx`]), refused);
  await t.rejects(put(["a\0b"]), refused);
  await t.rejects(put([]), refused);
  t.equal(metadata.get(texts, "x".repeat(100_000)), undefined, "and asking for one finds nothing");
});

t.test("observe() tells the changes of each action before it is durable, until it is disposed", async (t) => {
  const metadata = await metadataFor(t);
  const seen: string[] = [];
  const observer = metadata.observe((changes) => {
    for (const { table, key, record } of changes) {
      seen.push(`${table} ${key.join(",")} ${record === undefined ? "gone" : "put"}`);
      t.equal(metadata.get(texts, "b"), undefined, "not durable yet");
    }
  });
  await Promise.all([
    metadata.write((transaction) => transaction.put(texts, ["a", "1"], "")),
    metadata
      .write((transaction) => {
        transaction.put(texts, "never", "");
        throw new Error("no");
      })
      .catch(() => undefined),
    metadata.write((transaction) => transaction.get(texts, "a")),
    metadata.write((transaction) => {
      transaction.delete(texts, ["a", "1"]);
      transaction.put(texts, "b", "");
    }),
  ]);
  t.same(seen, ["texts a,1 put", "texts a,1 gone", "texts b put"]);
  observer[Symbol.dispose]();
  await metadata.write((transaction) => transaction.put(texts, "c", ""));
  t.equal(seen.length, 3);
});

t.test("openMetadata() takes over a database of version 1", async (t) => {
  const directory = await folderFor(t);
  const root = open({
    path: join(directory, "metadata.lmdb"),
    noSubdir: true,
    encoding: "binary",
    maxDbs: 16,
  });
  const put = (table: string, key: string | [number, string], value: Parameters<typeof encodeRecord>[0]) =>
    root.openDB<Buffer, typeof key>(table, { encoding: "binary" }).put(key, encodeRecord(value));
  const row = { id: 7, name: "base", parent: "", kind: "committed", target: "T", childCount: 0 };
  const times = { createdAt: "1763700000123456789", updatedAt: "1763700000123456789" };
  await put("counters", "schema", 1);
  await put("counters", "snapshot-id", 7);
  await put("snapshots", "base", { ...row, ...times, labels: { a: "1" }, usage: { size: 1, inodes: 2 } });
  await put("remote-targets", [0, "T"], "base");
  await root.close();
  const metadata = await openMetadata({ directory });
  t.equal(metadata.get(counters, "schema"), migrations.length + 1);
  t.match(metadata.values(snapshotRows), [
    { ...row, createdAt: 1_763_700_000_123_456_789n, labels: { a: "1" } },
  ]);
  t.equal(metadata.get({ ...texts, name: "remote-targets" }, [0, "T"]), "base");
  await metadata.close();
});

t.test("migrate() keeps each step whole and goes on after one that failed", async (t) => {
  const metadata = await metadataFor(t);
  const directory = "here";
  await metadata.write((transaction) => transaction.put(counters, "schema", 1));
  const ran: string[] = [];
  const step = (name: string, fails = false): Migration => ({
    name,
    run: (transaction) => {
      ran.push(name);
      transaction.put(texts, name, "done");
      if (fails) throw new Error("no");
    },
  });
  await t.rejects(migrate(metadata, { directory, steps: [step("two"), step("three", true), step("four")] }));
  t.equal(metadata.get(counters, "schema"), 2);
  t.equal(metadata.get(texts, "three"), undefined);
  await migrate(metadata, { directory, steps: [step("two"), step("three"), step("four")] });
  t.same(ran, ["two", "three", "three", "four"]);
  t.equal(metadata.get(counters, "schema"), 4);
  await t.rejects(migrate(metadata, { directory, steps: [step("two")] }), {
    code: "FAILED_PRECONDITION",
    reason: "metadata-version",
    message: "Cannot open the metadata in here: want version 1 to 2, got 4",
    hint: /newer release/,
  });
});
