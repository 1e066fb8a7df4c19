import t from "tap";
import { type Digest, sha256 } from "../../src/bytes/index.js";
import {
  chooseTocLayer,
  openExternalToc,
  openToc,
  type ReadBlob,
  TOC_DIGEST_ANNOTATION,
  tailGuess,
  tocReference,
} from "../../src/estargz/index.js";
import { mediaTypes, parseManifest, parseReference } from "../../src/oci/index.js";
import { buildEstargz } from "../../testing/estargz-builder.js";

const KIB = 1024;
const MIB = 1024 * KIB;

function reader(blob: Buffer): { read: ReadBlob; ranges: { offset: number; length: number }[] } {
  const ranges: { offset: number; length: number }[] = [];
  const read: ReadBlob = async ({ offset, length }) => {
    ranges.push({ offset, length });
    return blob.subarray(offset, offset + length);
  };
  return { read, ranges };
}

const entries = [{ name: "a", type: "reg", content: "hello" }] as const;

t.test("tailGuess() is a part of the blob within bounds", async (t) => {
  t.equal(tailGuess(0), 0);
  t.equal(tailGuess(100), 100);
  t.equal(tailGuess(MIB), 128 * KIB);
  t.equal(tailGuess(50 * MIB), MIB);
  t.equal(tailGuess(10_000 * MIB), 4 * MIB);
});

t.test("openToc() reads a small blob once", async (t) => {
  for (const footer of ["estargz", "legacy"] as const) {
    const layer = buildEstargz(entries, { footer });
    const { read, ranges } = reader(layer.blob);
    const opened = await openToc({ blobSize: layer.blob.length, read, tocDigest: layer.tocDigest });
    t.same(opened, { toc: layer.tocJson, kind: footer, payloadEnd: layer.payloadEnd });
    t.same(ranges, [{ offset: 0, length: layer.blob.length }]);
  }
});

t.test("openToc() reads the rest of the TOC when the tail has a part of it", async (t) => {
  const layer = buildEstargz(entries);
  const { blob, tocDigest, payloadEnd } = layer;
  const blobSize = blob.length;
  for (const tailGuessBytes of [1, 51, 60, blobSize - payloadEnd - 1, blobSize - payloadEnd]) {
    const { read, ranges } = reader(blob);
    const opened = await openToc({ blobSize, read, tocDigest, tailGuessBytes });
    t.same(opened.toc, layer.tocJson);
    const tail = Math.max(51, tailGuessBytes);
    const missing = blobSize - payloadEnd - tail;
    t.same(ranges, [
      { offset: blobSize - tail, length: tail },
      ...(missing === 0 ? [] : [{ offset: payloadEnd, length: missing }]),
    ]);
  }
});

t.test("openToc() asks for the TOC of a layer that keeps it elsewhere", async (t) => {
  const { blob, tocBlob, tocDigest, tocJson } = buildEstargz(entries, { footer: "external" });
  const { read } = reader(blob);
  const options = { blobSize: blob.length, read, tocDigest };
  const opened = await openToc({ ...options, loadExternalToc: async () => tocBlob! });
  t.same(opened, { toc: tocJson, kind: "external", payloadEnd: blob.length });
  t.same(await openExternalToc({ tocBlob: tocBlob!, blobSize: blob.length, tocDigest }), opened);
  await t.rejects(openToc(options), { code: "FAILED_PRECONDITION", reason: "toc-external" });
});

t.test("openToc() refuses what it can't verify", async (t) => {
  const { blob, tocDigest } = buildEstargz(entries);
  const { read, ranges } = reader(blob);
  const options = { blobSize: blob.length, read, tocDigest };
  const missing = { code: "FAILED_PRECONDITION", reason: "toc-digest-missing" };
  await t.rejects(openToc({ ...options, tocDigest: undefined }), missing);
  t.same(ranges, [], "and reads nothing then");
  const other = sha256(Buffer.from("other"));
  await t.rejects(openToc({ ...options, tocDigest: other }), {
    code: "DATA_LOSS",
    reason: "toc-digest-mismatch",
  });
  const sha512 = `sha512:${"0".repeat(128)}` as Digest;
  const unsupported = { code: "FAILED_PRECONDITION", reason: "toc-digest-unsupported" };
  await t.rejects(openToc({ ...options, tocDigest: sha512 }), unsupported);
  const short: ReadBlob = async ({ offset, length }) => blob.subarray(offset, offset + length - 1);
  await t.rejects(openToc({ ...options, read: short }), { code: "DATA_LOSS", reason: "short-read" });
});

t.test("openToc() passes on what the read throws, and the reason of an abort", async (t) => {
  const { blob, tocDigest } = buildEstargz(entries);
  const controller = new AbortController();
  const gone = new Error("gone");
  const options = { blobSize: blob.length, tocDigest, signal: controller.signal };
  const failing: ReadBlob = async () => {
    throw gone;
  };
  await t.rejects(openToc({ ...options, read: failing }), gone);
  const aborting: ReadBlob = async ({ offset, length }) => {
    controller.abort(gone);
    return blob.subarray(offset, offset + length);
  };
  await t.rejects(openToc({ ...options, read: aborting }), gone);
});

t.test("tocReference() and chooseTocLayer() find the TOC image's part for a layer", async (t) => {
  const reference = tocReference(parseReference("registry.example/app:v1"));
  t.equal(reference.toString(), "registry.example/app:v1-esgztoc");
  const byDigest = parseReference(`registry.example/app@${sha256(Buffer.from("x"))}`);
  t.throws(() => tocReference(byDigest), { code: "FAILED_PRECONDITION", reason: "toc-reference" });
  const tooLong = parseReference(`registry.example/app:${"t".repeat(128)}`);
  t.throws(() => tocReference(tooLong), { code: "FAILED_PRECONDITION", reason: "toc-reference" });
  const [one, two, three] = ["one", "two", "three"].map((text) => sha256(Buffer.from(text)));
  const layerOf = (digest: string | undefined, layer: string | undefined): object => ({
    mediaType: mediaTypes.ociLayerGzip,
    digest,
    size: 1,
    annotations: { "containerd.io/snapshot/stargz/layer.digest": layer, [TOC_DIGEST_ANNOTATION]: layer },
  });
  const config = { mediaType: mediaTypes.ociConfig, digest: one, size: 1 };
  const layers = [layerOf(one, two), layerOf(two, three)];
  const manifest = parseManifest(Buffer.from(JSON.stringify({ schemaVersion: 2, config, layers })));
  t.equal(chooseTocLayer(manifest, three!).digest, two);
  t.throws(() => chooseTocLayer(manifest, one!), { code: "NOT_FOUND", reason: "toc-layer-missing" });
});
