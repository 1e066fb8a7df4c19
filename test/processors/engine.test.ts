import { mkdir, mkdtemp, open, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import t from "tap";
import { delay } from "../../src/async/index.js";
import { type Digest, sha256 } from "../../src/bytes/index.js";
import type { LayerRequest } from "../../src/layer/index.js";
import { layerPaths } from "../../src/layer/paths.js";
import { ProcessedSource } from "../../src/layer/processed-source.js";
import { decryptor, externalProcessor, type StreamProcessor } from "../../src/processors/index.js";
import { UnitTable } from "../../src/units/index.js";
import { EngineRig, expectedHashes, hashesBelow } from "../../testing/layer/engine-rig.js";
import { MemorySource } from "../../testing/layer/memory-source.js";
import { sampleFiles } from "../../testing/layer/sample-layer.js";
import { type EncryptedBlob, encrypt, makeKeys, writeLayout } from "../ocicrypt/encrypted-image.js";
import { buildTar } from "../soci/builder.js";

const folder = await mkdtemp(join(tmpdir(), "lazuli-encrypted-"));
t.teardown(() => rm(folder, { recursive: true, force: true }));
await makeKeys(folder);
const files = sampleFiles("encrypted", [0, 5, 4096, 300_000, 4_500_000, 4_600_000]);
const folders = new Set(files.map(({ name }) => name.split("/")[0]!));
const archive = buildTar([
  ...[...folders].map((name) => ({ name: `${name}/`, type: "dir" as const })),
  ...files.map((file) => ({ ...file, type: "reg" as const })),
]).tar;
const TAR = "application/vnd.oci.image.layer.v1.tar";
const plain = {
  gzip: { bytes: gzipSync(archive, { level: 1 }), mediaType: `${TAR}+gzip` },
  tar: { bytes: archive, mediaType: TAR },
};
const recipients = { gzip: "jwe:rsa.pub", tar: "pkcs7:rsa.crt" };
for (const [name, layer] of Object.entries(plain)) await writeLayout(join(folder, name), layer);
const encrypted = {
  gzip: await encrypt({ layout: join(folder, "gzip"), recipients: [recipients.gzip], keys: folder }),
  tar: await encrypt({ layout: join(folder, "tar"), recipients: [recipients.tar], keys: folder }),
};
await mkdir(join(folder, "keys"));
await writeFile(join(folder, "keys", "rsa.pem"), await readFile(join(folder, "rsa-pkcs8.pem")));
const processors = [decryptor({ keys: [join(folder, "keys")] })];

function requestFor(
  blob: EncryptedBlob,
  options: { readonly digest?: Digest; readonly diffId?: Digest } = {},
): { request: LayerRequest; source: MemorySource } {
  const { mediaType, annotations } = blob;
  const { diffId = sha256(archive) } = options;
  const source = new MemorySource(blob.bytes, options.digest);
  const request: LayerRequest = {
    digest: source.digest,
    mediaType,
    index: { kind: "whole", diffId, processing: { annotations: { ...annotations, other: "x" } } },
    openSource: async () => source,
    origin: { reference: "memory.example/secret:1", size: source.size },
  };
  return { request, source };
}

for (const [name, blob] of Object.entries(encrypted)) {
  t.test(`ensure() fetches an encrypted layer whole and shows its tree: ${name}`, async (t) => {
    await using rig = await EngineRig.make();
    const engine = await rig.open({ processors });
    const { request, source } = requestFor(blob);
    await engine.ensure(request, {});
    t.ok(engine.status(request.digest).complete);
    t.equal(source.fetchedBytes, blob.bytes.length, "once");
    t.same(await hashesBelow(await engine.mountPoint(request.digest)), expectedHashes(files));
    const { record } = layerPaths(rig.root, request.digest);
    const kept = JSON.parse(await readFile(record, "utf8")).processing.annotations;
    t.same(kept, blob.annotations, "what it takes to do it again, and nothing else");
  });
}

t.test("ensure() leaves nothing of an encrypted layer behind that it can't have", async (t) => {
  await using rig = await EngineRig.make();
  const blob = encrypted.gzip;
  const refused = async (
    request: LayerRequest,
    error: { readonly code: string; readonly reason: string },
    given: readonly StreamProcessor[] = processors,
  ): Promise<void> => {
    const engine = await rig.open({ processors: given });
    await t.rejects(engine.ensure(request, {}), error, error.reason);
    t.same(await readdir(join(rig.root, "layers", "v1")), [], "no folder is left");
    await engine.close();
  };
  const missing = { code: "FAILED_PRECONDITION", reason: "decryption-key-missing" };
  const noKey = requestFor(blob);
  await refused(noKey.request, missing, [decryptor({ keys: [join(folder, "other.pem")] })]);
  await refused(noKey.request, missing, [decryptor({ keys: [join(folder, "nowhere")] })]);
  t.equal(noKey.source.fetchedBytes, 0, "no byte was fetched without a key");
  await refused(noKey.request, { code: "FAILED_PRECONDITION", reason: "stream-processor-missing" }, []);

  const changed = Buffer.from(blob.bytes);
  changed[changed.length - 20]! ^= 1;
  const asChanged = requestFor({ ...blob, bytes: changed });
  await refused(asChanged.request, { code: "DATA_LOSS", reason: "decryption-hmac-mismatch" });
  const onTheWay = requestFor(
    { ...encrypted.tar, bytes: changedAt(encrypted.tar.bytes, 2_000_000) },
    { digest: sha256(encrypted.tar.bytes) },
  );
  await refused(onTheWay.request, { code: "DATA_LOSS", reason: "blob-digest-mismatch" });
  t.equal(onTheWay.source.distrusted.length, 1, "the mirror is known for it");
  const other = requestFor(blob, { diffId: sha256(Buffer.from("other")) });
  await refused(other.request, { code: "DATA_LOSS", reason: "diff-id-mismatch" });
  const large = { ...blob, annotations: { "org.opencontainers.image.enc.keys.jwe": "A".repeat(40_000) } };
  await refused(requestFor(large).request, {
    code: "RESOURCE_EXHAUSTED",
    reason: "encryption-annotations-too-large",
  });
});

function changedAt(bytes: Buffer, offset: number): Buffer {
  const changed = Buffer.from(bytes);
  changed[offset]! ^= 1;
  return changed;
}

for (const mount of ["erofs", "fuse-tree"] as const) {
  t.test(`lost units of an encrypted layer are had by another pass (${mount})`, async (t) => {
    await using rig = await EngineRig.make();
    const first = await rig.open({ processors, mount });
    const { request, source } = requestFor(encrypted.gzip);
    await first.ensure(request, {});
    await first.close();
    const { data, units } = layerPaths(rig.root, request.digest);
    const table = new UnitTable(await readFile(units));
    t.ok(table.count >= 3);
    const file = await open(data, "r+");
    for (const unit of [1, table.count - 1]) {
      await file.write(Buffer.from("x"), 0, 1, table.dataOffset(unit));
    }
    await file.close();

    const second = new MemorySource(encrypted.gzip.bytes);
    rig.sources.set(request.digest, second);
    const engine = await rig.open({ processors, mount, backgroundFill: true });
    t.same(await hashesBelow(await engine.mountPoint(request.digest)), expectedHashes(files));
    while (!engine.status(request.digest).complete) await delay(20);
    t.ok(second.fetchedBytes > 0);
    t.equal(source.fetchedBytes, encrypted.gzip.bytes.length);
  });
}

t.test("a program makes a layer of another media type", async (t) => {
  await using rig = await EngineRig.make();
  const rot = (bytes: Buffer): Buffer => Buffer.from(bytes.map((byte) => (byte + 1) & 0xff));
  const program =
    'my ($b); while (read(STDIN, $b, 65536)) { print join("", map { chr((ord($_) + 255) % 256) } split(//, $b)) }';
  const rotating = externalProcessor({
    name: "rot",
    accepts: ["application/vnd.test.layer.rot"],
    returns: `${TAR}+gzip`,
    path: "perl",
    args: ["-e", `binmode STDIN; binmode STDOUT; ${program}`],
    env: [],
  });
  const small = sampleFiles("rotated", [10, 70_000]);
  const { tar } = buildTar(small.map((file) => ({ ...file, type: "reg" as const })));
  const blob = { mediaType: "application/vnd.test.layer.rot", bytes: rot(gzipSync(tar)), annotations: {} };
  const { request } = requestFor(blob, { diffId: sha256(tar) });
  const engine = await rig.open({ processors: [rotating] });
  await engine.ensure(request, {});
  t.same(await hashesBelow(await engine.mountPoint(request.digest)), expectedHashes(small));
});

t.test("ProcessedSource has ranges in order by one pass, and earlier ones by another", async (t) => {
  const bytes = Buffer.concat(files.map(({ content }) => content));
  const source = new MemorySource(bytes);
  let passes = 0;
  const inverting: StreamProcessor = {
    name: "inverting",
    returns: (mediaType) => (mediaType === "test/inverted" ? TAR : undefined),
    run: async function* ({ bytes: input }) {
      passes += 1;
      for await (const piece of input) yield Buffer.from(piece.map((byte) => byte ^ 0xff));
    },
  };
  const processed = new ProcessedSource({
    source,
    processing: { processors: [inverting], mediaType: "test/inverted", annotations: {} },
    size: bytes.length,
  });
  const wanted = Buffer.from(bytes.map((byte) => byte ^ 0xff));
  const read = async (offset: number, length: number, signal?: AbortSignal): Promise<void> => {
    const got: Buffer[] = [];
    for await (const piece of processed.readRange({ offset, length, signal })) got.push(piece);
    t.ok(Buffer.concat(got).equals(wanted.subarray(offset, offset + length)), `${offset}, ${length}`);
  };
  await read(5, 100);
  await read(105, 2_000_000);
  await Promise.all([read(2_000_105, 1_000_000), read(4_000_000, 10), read(4_000_020, 1)]);
  t.equal(passes, 1);
  await read(0, 10);
  t.equal(passes, 2);
  const left = new AbortController();
  left.abort(new DOMException("Left", "AbortError"));
  await t.rejects(read(20, 10, left.signal), { name: "AbortError" });
  await read(bytes.length - 7, 7);
  await t.rejects(read(bytes.length - 7, 8), { code: "DATA_LOSS", reason: "processed-length-mismatch" });
  processed.distrust();
  t.same(source.distrusted, [{ offset: 0, length: bytes.length }]);
});
