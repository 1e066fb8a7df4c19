import t from "tap";
import { type Digest, sha256 } from "../../src/bytes/index.js";
import { contents, ingests, leaseResources, leases, namespaces } from "../../src/metadata/index.js";
import { digestsOf, namespacedRig, put, readAll, start } from "./namespaced-rig.js";

const bytes = Buffer.from("the bytes of a blob");
const digest = sha256(bytes);
const day = 24n * 3600n * 1_000_000_000n;

await t.test("for() shows a namespace what it has and nothing else", async (t) => {
  const { content } = await namespacedRig(t);
  const [one, two] = [content.for({ namespace: "one" }), content.for({ namespace: "two" })];
  await put(one, bytes, { team: "storage" });
  t.match(await one.info(digest), { digest, size: bytes.length, labels: { team: "storage" } });
  t.same(await readAll(one, digest), bytes);
  await t.rejects(two.info(digest), { code: "NOT_FOUND", message: `content digest ${digest}` });
  await t.rejects(two.open(digest), { code: "NOT_FOUND" });
  await t.rejects(two.delete(digest), { code: "NOT_FOUND" });
  await t.rejects(two.update({ digest, labels: {}, fieldPaths: [] }), { code: "NOT_FOUND" });
  t.same(await digestsOf(one), [digest]);
  t.same(await digestsOf(one, ["labels.team==network", `digest==${digest},size==19`]), [digest]);
  t.same(await digestsOf(one, ["labels.team==network"]), []);
  t.same(await digestsOf(two), []);
  t.throws(() => content.for({ namespace: "" }), { code: "FAILED_PRECONDITION" });
  t.throws(() => content.for({ namespace: "a/b" }), { code: "INVALID_ARGUMENT" });
});

await t.test("walk() goes over more rows than one page has", async (t) => {
  const { content, metadata } = await namespacedRig(t);
  const digests = Array.from({ length: 1203 }, (_, index) => sha256(Buffer.from(`blob ${index}`)));
  await metadata.write((transaction) => {
    for (const digest of digests) {
      const row = { namespace: "one", digest, size: 1, labels: {}, createdAt: 1n, updatedAt: 1n };
      transaction.put(contents, ["one", digest], row);
    }
  });
  t.same(await digestsOf(content.for({ namespace: "one" })), [...digests].sort());
});

await t.test("update() changes labels by field paths", async (t) => {
  const { content } = await namespacedRig(t);
  const store = content.for({ namespace: "one" });
  await put(store, bytes, { a: "1", b: "2" });
  const created = await store.info(digest);
  const update = async (labels: Record<string, string>, fieldPaths: string[]) =>
    await store.update({ digest, labels, fieldPaths });
  const some = await update({ a: "changed", c: "not named" }, ["labels.a", "labels.b"]);
  t.same(some.labels, { a: "changed" });
  t.equal(some.createdAt, created.createdAt);
  t.ok(some.updatedAt > created.updatedAt);
  t.same((await update({ x: "y" }, ["labels"])).labels, { x: "y" });
  t.same((await update({ z: "", k: "v" }, [])).labels, { k: "v" }, "empty values are not stored");
  await t.rejects(update({}, ["size"]), {
    code: "INVALID_ARGUMENT",
    message: `cannot update "size" field on content info "${digest}"`,
  });
  await t.rejects(update({ long: "v".repeat(5000) }, []), { code: "INVALID_ARGUMENT" });
  t.same((await store.info(digest)).labels, { k: "v" });
});

await t.test("writer() keeps an ingest in the namespace for a day", async (t) => {
  const { content, metadata, store: below } = await namespacedRig(t);
  const [one, two] = [content.for({ namespace: "one" }), content.for({ namespace: "two" })];
  await t.rejects(one.writer({ ref: "", total: 0, expected: undefined }), { code: "INVALID_ARGUMENT" });
  const writer = await one.writer({ ref: "r", total: 100, expected: undefined });
  await writer.write(Buffer.from("begun"));
  t.match(writer.status(), { ref: "r", offset: 5, total: 100 });
  t.match(await one.status("r"), { ref: "r", offset: 5, total: 100 });
  await t.rejects(one.writer({ ref: "r", total: 100, expected: undefined }), { code: "UNAVAILABLE" });
  const other = await two.writer({ ref: "r", total: 7, expected: undefined });
  await other.close();
  await writer.close();
  t.same(
    (await one.statuses([])).map(({ ref, offset }) => [ref, offset]),
    [["r", 5]],
  );
  t.same(await one.statuses(["ref==other"]), []);
  const row = metadata.get(ingests, ["one", "r"])!;
  t.match(row.storeRef, /^one\/\d+\/r$/);
  t.ok(row.expireAt! > start + day && row.expireAt! < start + day + 60_000_000_000n);
  const resumed = await one.writer({ ref: "r", total: 100, expected: undefined });
  t.equal(resumed.offset, 5);
  await t.rejects(resumed.commit({ size: 4, expected: undefined, labels: {} }), {
    code: "FAILED_PRECONDITION",
    message: '"r" failed size validation: 5 != 4',
  });
  await one.abort("r");
  await t.rejects(one.status("r"), { code: "NOT_FOUND", message: "reference r" });
  await t.rejects(one.abort("r"), { code: "NOT_FOUND" });
  t.same(
    (await below.statuses([])).map(({ ref }) => ref.replace(/\d+/, "n")),
    ["two/n/r"],
  );
});

await t.test("commit() after a wrong digest leaves the bytes to be resumed", async (t) => {
  const { content } = await namespacedRig(t);
  const store = content.for({ namespace: "one" });
  const writer = await store.writer({ ref: "r", total: 0, expected: undefined });
  await writer.write(Buffer.from(bytes));
  const wrong = sha256(Buffer.from("other"));
  await t.rejects(writer.commit({ size: 0, expected: wrong, labels: {} }), { code: "FAILED_PRECONDITION" });
  await t.rejects(writer.commit({ size: 0, expected: undefined, labels: {} }), {
    code: "FAILED_PRECONDITION",
  });
  t.same(await digestsOf(store), []);
  const again = await store.writer({ ref: "r", total: 0, expected: undefined });
  t.equal(again.offset, bytes.length);
  t.equal(await again.commit({ size: 0, expected: digest, labels: {} }), digest);
  await t.rejects(store.status("r"), { code: "NOT_FOUND" });
  await t.rejects(put(store, bytes), { code: "ALREADY_EXISTS", message: `content ${digest}` });
});

await t.test("a lease has what is ingested and what is committed", async (t) => {
  const { content, metadata } = await namespacedRig(t);
  const lease = { namespace: "one", id: "l", labels: {}, createdAt: 1n };
  await metadata.write((transaction) => transaction.put(leases, ["one", "l"], lease));
  const resources = (): string[] =>
    [...metadata.entries(leaseResources, ["one", "l"])].map(({ value }) => `${value.type} ${value.id}`);
  const store = content.for({ namespace: "one", lease: "l" });
  const writer = await store.writer({ ref: "r", total: 0, expected: undefined });
  t.same(resources(), ["ingests r"]);
  t.equal(metadata.get(ingests, ["one", "r"])!.expireAt, undefined, "the lease keeps it and not a time");
  await writer.write(Buffer.from(bytes));
  await writer.commit({ size: 0, expected: undefined, labels: {} });
  t.same(resources(), [`content ${digest}`]);
  await store.delete(digest);
  t.same(resources(), []);
  await put(content.for({ namespace: "one" }), bytes);
  await t.rejects(put(store, bytes), { code: "ALREADY_EXISTS" });
  t.same(resources(), [`content ${digest}`], "what is there already is leased");
  const unknown = content.for({ namespace: "one", lease: "unknown" });
  await t.rejects(put(unknown, Buffer.from("x")), { code: "NOT_FOUND" });
});

await t.test("policy shared: a blob of another namespace needs no bytes", async (t) => {
  const { content, metadata } = await namespacedRig(t);
  const [one, two] = [content.for({ namespace: "one" }), content.for({ namespace: "two" })];
  await put(one, bytes);
  const writer = await two.writer({ ref: "r", total: 0, expected: digest });
  t.equal(writer.offset, bytes.length);
  t.equal(writer.digest(), digest);
  t.match(writer.status(), { ref: "r", offset: bytes.length, total: bytes.length, expected: digest });
  t.equal(metadata.get(ingests, ["two", "r"])!.expected, digest);
  t.same(await two.statuses([]), []);
  await writer.commit({ size: bytes.length, expected: digest, labels: { own: "1" } });
  t.same((await two.info(digest)).labels, { own: "1" });
  t.same(await readAll(two, digest), bytes);
  t.same((await one.info(digest)).labels, {});

  const three = content.for({ namespace: "three" });
  const append = await three.writer({ ref: "r", total: 0, expected: digest });
  await append.write(Buffer.from(" and more"));
  t.equal(append.offset, bytes.length + 9);
  const longer = Buffer.concat([bytes, Buffer.from(" and more")]);
  t.equal(await append.commit({ size: 0, expected: undefined, labels: {} }), sha256(longer));
  t.same(await readAll(three, sha256(longer)), longer);
  await t.rejects(three.info(digest), { code: "NOT_FOUND" });

  const anew = await three.writer({ ref: "n", total: 0, expected: digest });
  await t.rejects(anew.truncate(5), { code: "INVALID_ARGUMENT" });
  await anew.truncate(0);
  t.equal(anew.offset, 0);
  await anew.write(Buffer.from(bytes));
  t.equal(await anew.commit({ size: 0, expected: digest, labels: {} }), digest);

  const wrong = await content.for({ namespace: "four" }).writer({ ref: "w", total: 0, expected: digest });
  await t.rejects(wrong.commit({ size: 3, expected: undefined, labels: {} }), {
    code: "FAILED_PRECONDITION",
  });
  const other = await content.for({ namespace: "four" }).writer({ ref: "w", total: 0, expected: digest });
  const commit = other.commit({ size: 0, expected: sha256(longer), labels: {} });
  await t.rejects(commit, { code: "FAILED_PRECONDITION", message: '"w" unexpected digest' });
  const sized = await content.for({ namespace: "five" }).writer({ ref: "s", total: 3, expected: digest });
  t.equal(sized.offset, 0, "a size that differs is not this blob");
  await sized.close();
});

await t.test("policy isolated: the bytes have to be brought, but for shareable namespaces", async (t) => {
  const { content, metadata } = await namespacedRig(t, { policy: "isolated" });
  const [one, two] = [content.for({ namespace: "one" }), content.for({ namespace: "two" })];
  await put(one, bytes);
  const writer = await two.writer({ ref: "r", total: bytes.length, expected: digest });
  t.equal(writer.offset, 0);
  await writer.write(Buffer.from(bytes));
  t.equal(await writer.commit({ size: 0, expected: digest, labels: {} }), digest, "the store has it already");
  t.same(await readAll(two, digest), bytes);
  const three = content.for({ namespace: "three" });
  await metadata.write((transaction) => {
    const labels = { "containerd.io/namespace.shareable": "true" };
    transaction.put(namespaces, ["one"], { name: "one", labels });
  });
  const shared = await three.writer({ ref: "r", total: 0, expected: digest });
  t.equal(shared.offset, bytes.length);
  await shared.commit({ size: 0, expected: digest, labels: {} });
  t.same(await digestsOf(three), [digest]);
});

await t.test("writer() lets a blob be brought again whose bytes were lost", async (t) => {
  const { content, store } = await namespacedRig(t);
  const one = content.for({ namespace: "one" });
  await put(one, bytes, { kept: "yes" });
  await store.delete(digest);
  await t.rejects(one.open(digest), { code: "NOT_FOUND" });
  t.equal(await put(one, bytes, { kept: "no" }), digest as Digest);
  t.same(await readAll(one, digest), bytes);
  t.same((await one.info(digest)).labels, { kept: "yes" }, "the row is the one from before");
});
