import t from "tap";
import { sha256 } from "../../src/bytes/index.js";
import { type ContentStore, PinnedNames } from "../../src/content/index.js";
import { ingests } from "../../src/metadata/index.js";
import { digestsOf, namespacedRig, put, readAll } from "./namespaced-rig.js";

const blob = (text: string): Buffer => Buffer.from(`blob ${text}`);

await t.test("sweep() removes the blobs and ingests that no namespace has", async (t) => {
  const { content, store, metadata } = await namespacedRig(t);
  const [one, two] = [content.for({ namespace: "one" }), content.for({ namespace: "two" })];
  for (const text of ["a", "b", "c"]) await put(one, blob(text));
  for (const text of ["b", "c"]) await put(two, blob(text));
  for (const text of ["a", "b"]) await one.delete(sha256(blob(text)));
  const kept = await one.writer({ ref: "kept", total: 0, expected: undefined });
  await kept.write(blob("x"));
  await kept.close();
  const stray = await store.writer({ ref: "one/99/kept", total: 0, expected: undefined });
  await stray.close();
  const strange = await store.writer({ ref: "strange", total: 0, expected: undefined });
  await strange.close();
  const swept = await content.sweep();
  t.same(swept, { removedBlobs: 1, removedIngests: 2, bytesFreed: blob("a").length });
  t.same(await digestsOf(store), [sha256(blob("b")), sha256(blob("c"))].sort());
  t.same(
    (await store.statuses([])).map(({ ref }) => ref),
    [metadata.get(ingests, ["one", "kept"])!.storeRef],
  );
  t.same(await content.sweep(), { removedBlobs: 0, removedIngests: 0, bytesFreed: 0 });
});

await t.test("sweep() leaves what is adopted or written, from before and while it runs", async (t) => {
  const { content, store, metadata } = await namespacedRig(t);
  const one = content.for({ namespace: "one" });
  const two = content.for({ namespace: "two" });
  await put(one, blob("adopted"));
  const adopted = await two.writer({ ref: "r", total: 0, expected: sha256(blob("adopted")) });
  const open = await two.writer({ ref: "open", total: 0, expected: undefined });
  await open.write(blob("open"));
  await one.delete(sha256(blob("adopted")));
  // As a collection does with an ingest whose lease is gone.
  await metadata.write((transaction) => transaction.delete(ingests, ["two", "open"]));
  t.match(await content.sweep(), { removedBlobs: 0, removedIngests: 0 });
  await open.commit({ size: 0, expected: undefined, labels: {} });
  t.same(await readAll(two, sha256(blob("open"))), blob("open"));
  await adopted.close();
  t.match(await content.sweep(), { removedBlobs: 0 }, "the ingest's row still leads to it");
  await two.abort("r");
  t.match(await content.sweep(), { removedBlobs: 1 });
  t.same(await digestsOf(store), [sha256(blob("open"))]);
});

await t.test("sweep() and writers of the same blobs never leave a row without its blob", async (t) => {
  const { content, store } = await namespacedRig(t);
  const texts = Array.from({ length: 12 }, (_, index) => `shared ${index}`);
  let isRunning = true;
  const sweeping = (async () => {
    for (let count = 0; ; count += 1) {
      if (!isRunning) return count;
      await content.sweep();
      await new Promise(setImmediate);
    }
  })();
  const worker = async (namespace: string, steps: number): Promise<void> => {
    const own = content.for({ namespace });
    for (let step = 0; step < steps; step += 1) {
      const bytes = blob(texts[(step * 7 + namespace.length) % texts.length]!);
      await put(own, bytes);
      t.same(await readAll(own, sha256(bytes)), bytes);
      await own.delete(sha256(bytes));
    }
  };
  await Promise.all([worker("n", 60), worker("nn", 60), worker("nnn", 60)]);
  isRunning = false;
  t.ok((await sweeping) > 0);
  await content.sweep();
  t.same(await digestsOf(store), []);
});

await t.test("a kill between the blob and its row leaves what the next sweep removes", async (t) => {
  const { content, store } = await namespacedRig(t);
  await put(store, blob("orphan"));
  t.match(await content.sweep(), { removedBlobs: 1 });
  const one = content.for({ namespace: "one" });
  t.equal(await put(one, blob("orphan")), sha256(blob("orphan")));
});

await t.test("sweep() ends when it is told to", async (t) => {
  const wrap = (store: ContentStore): ContentStore =>
    new Proxy(store, {
      get: (target, name) => {
        if (name !== "walk") return Reflect.get(target, name, target).bind(target);
        return async function* () {
          for (let index = 0; ; index += 1) yield { digest: sha256(blob(`${index}`)), size: 1 };
        };
      },
    });
  const { content } = await namespacedRig(t, { wrap });
  const controller = new AbortController();
  const sweep = content.sweep({ signal: controller.signal });
  setImmediate(() => controller.abort());
  await t.rejects(sweep, { name: "AbortError" });
});

await t.test("PinnedNames.remove() waits for nobody and lets pins wait", async (t) => {
  const pinned = new PinnedNames();
  const first = await pinned.pin("a");
  const second = await pinned.pin("a");
  t.notOk(await pinned.remove(["b", "a"], async () => true));
  first[Symbol.dispose]();
  first[Symbol.dispose]();
  t.notOk(await pinned.remove(["a"], async () => true), "the second pin holds");
  second[Symbol.dispose]();
  const order: string[] = [];
  let end!: () => void;
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  const removal = pinned.remove(["a"], async () => {
    await ended;
    order.push("removed");
    return true;
  });
  const late = pinned.pin("a").then(() => order.push("pinned"));
  t.notOk(await pinned.remove(["a"], async () => true), "one removal at a time");
  end();
  t.ok(await removal);
  await late;
  t.same(order, ["removed", "pinned"]);
});
