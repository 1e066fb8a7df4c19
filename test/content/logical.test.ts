import t from "tap";
import { type Digest, sha256 } from "../../src/bytes/index.js";
import {
  type ContentStore,
  type LogicalSource,
  layerBlobSource,
  logicalBlobs,
  withLogicalBlobs,
} from "../../src/content/index.js";
import { contents } from "../../src/metadata/index.js";
import { Registry } from "../../src/registry/index.js";
import { EngineRig } from "../../testing/layer/engine-rig.js";
import { MemorySource } from "../../testing/layer/memory-source.js";
import { sampleFiles, sampleLayer } from "../../testing/layer/sample-layer.js";
import { startRegistry } from "../../testing/registry/index.js";
import { namespacedRig, put, readAll } from "./namespaced-rig.js";

const KIB = 1024;
const bytes = Buffer.concat(sampleFiles("logical", [300 * KIB]).map(({ content }) => content));

function memorySource(): { source: LogicalSource; blob: MemorySource; opened: () => number } {
  const blob = new MemorySource(bytes);
  let opened = 0;
  const source: LogicalSource = {
    find: (digest) =>
      digest === blob.digest ? { size: blob.size, labels: { from: "elsewhere" } } : undefined,
    open: async () => {
      opened += 1;
      return blob;
    },
  };
  return { source, blob, opened: () => opened };
}

async function refsOf(store: ContentStore): Promise<{ ref: string; offset: number }[]> {
  return (await store.statuses([])).map(({ ref, offset }) => ({ ref, offset }));
}

await t.test("withLogicalBlobs() reads a lazily mounted layer as its whole blob", async (t) => {
  await using rig = await EngineRig.make();
  const server = await startRegistry();
  t.teardown(async () => await server.stop());
  const registry = new Registry({});
  t.teardown(async () => await registry.close());
  const layer = sampleLayer(sampleFiles("lazy", [10, 200 * KIB, 900 * KIB]));
  const digest = server.addBlob(layer.blob);
  const reference = `${server.host}/library/sample:1`;
  const engine = await rig.open();
  await engine.ensure(
    {
      digest,
      mediaType: "application/vnd.oci.image.layer.v1.tar+gzip",
      index: { kind: "estargz", tocDigest: layer.tocDigest },
      openSource: async () => await registry.openBlob({ reference, digest, size: layer.blob.length }),
      origin: { reference, size: layer.blob.length },
    },
    {},
  );
  await engine.mountPoint(digest);
  t.notOk(engine.status(digest).complete, "the layer is lazy");

  const { content, store } = await namespacedRig(t);
  const source = layerBlobSource({ layers: engine, registry });
  const own = withLogicalBlobs({ store: content.for({ namespace: "one" }), source });
  t.match(await own.info(digest), { digest, size: layer.blob.length, labels: {} });
  await t.rejects(store.info(digest), { code: "NOT_FOUND" }, "info() costs no bytes");
  t.ok((await readAll(own, digest)).equals(layer.blob), "the registry's bytes");
  t.match(await store.info(digest), { size: layer.blob.length });
  const requests = server.log.length;
  t.ok((await readAll(own, digest)).equals(layer.blob));
  t.equal(server.log.length, requests, "the second read is local");
  await t.rejects(own.open(sha256(Buffer.from("unknown"))), { code: "NOT_FOUND" });
  await t.rejects(source.open(sha256(Buffer.from("unknown")), {}), { code: "NOT_FOUND" });
});

await t.test("open() serves nothing of a registry that gives wrong bytes", async (t) => {
  const { source, blob } = memorySource();
  const { content, store } = await namespacedRig(t);
  const own = withLogicalBlobs({ store: content.for({ namespace: "one" }), source });
  blob.wrong = { offset: 5000, length: 1, times: 2 };
  await t.rejects(own.open(blob.digest), { code: "DATA_LOSS", reason: "blob-digest-mismatch" });
  await t.rejects(store.info(blob.digest), { code: "NOT_FOUND" });
  t.same(await refsOf(own), [], "nothing of it is kept");
  t.same(blob.distrusted.length, 2, "another mirror is asked the next time");
  blob.wrong = { offset: 5000, length: 1, times: 1 };
  t.ok((await readAll(own, blob.digest)).equals(bytes), "the second fetch was right");
});

await t.test("open() goes on where a fetch has failed", async (t) => {
  const { source, blob } = memorySource();
  const { content } = await namespacedRig(t);
  const own = withLogicalBlobs({ store: content.for({ namespace: "one" }), source });
  blob.pieceDelayMs = 1;
  const first = own.open(blob.digest);
  first.catch(() => undefined);
  while ((blob.requests[0]?.sent ?? 0) < 5 * blob.pieceBytes) await new Promise(setImmediate);
  blob.isDown = true;
  await t.rejects(first, { code: "UNAVAILABLE" });
  const arrived = (await refsOf(own))[0]!.offset;
  t.ok(arrived >= 4 * blob.pieceBytes, `${arrived} bytes have arrived`);
  blob.isDown = false;
  blob.pieceDelayMs = 0;
  t.ok((await readAll(own, blob.digest)).equals(bytes));
  t.match(blob.requests.at(-1), { offset: arrived, length: bytes.length - arrived });
});

await t.test("open() shares one fetch among all who wait, in every namespace", async (t) => {
  const { source, blob, opened } = memorySource();
  const { content, metadata } = await namespacedRig(t);
  const logical = logicalBlobs({ source });
  const [one, two] = ["one", "two"].map((namespace) => logical.over(content.for({ namespace })));
  blob.hold();
  const left = new AbortController();
  const leaver = one!.open(blob.digest, { signal: left.signal });
  const reads = [one!, one!, two!, two!].map(async (store) => await readAll(store, blob.digest));
  while (blob.requests.length === 0) await new Promise(setImmediate);
  left.abort();
  await t.rejects(leaver, { name: "AbortError" }, "who leaves does not stop the others");
  blob.release();
  for (const read of await Promise.all(reads)) t.ok(read.equals(bytes));
  t.equal(opened(), 1);
  t.equal(blob.requests.length, 1);
  t.ok(metadata.get(contents, ["one", blob.digest]));
  t.ok(metadata.get(contents, ["two", blob.digest]));
  t.same((await two!.info(blob.digest)).labels, { from: "elsewhere" });
});

await t.test("open() fetches a blob that the namespace has and the disk has lost", async (t) => {
  const { source, blob } = memorySource();
  const { content, store } = await namespacedRig(t);
  const own = withLogicalBlobs({ store: content.for({ namespace: "one" }), source });
  await put(own, bytes, { own: "label" });
  await store.delete(blob.digest as Digest);
  t.ok((await readAll(own, blob.digest)).equals(bytes));
  t.same((await own.info(blob.digest)).labels, { own: "label" });
});
