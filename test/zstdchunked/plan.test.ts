import { execFileSync } from "node:child_process";
import { gunzipSync } from "node:zlib";
import t from "tap";
import { type ByteString, parseDigest, sha256 } from "../../src/bytes/index.js";
import { compileToc, openToc, TocWriter, type WrittenEntry } from "../../src/estargz/index.js";
import { parseTarSplit, planZstdChunked, readTarSplit } from "../../src/zstdchunked/index.js";
import { decodeUnits, listTree } from "../../testing/estargz-decode.js";
import { unzstd, zstd } from "../../testing/zstdchunked-builder.js";
import { type ConvertTarget, convertLayer } from "../../testing/zstdchunked-convert.js";
import { ingestLayer, listTar } from "../../testing/zstdchunked-decode.js";
import { compileBlob, openBlob, readerOf } from "../../testing/zstdchunked-read.js";
import { rebuildTar } from "../../testing/zstdchunked-rebuild.js";
import { sampleEntries, tarOf } from "../../testing/zstdchunked-sample.js";

const chunkSize = 50_000;
const unzstdProgram = (blob: Buffer): Buffer =>
  execFileSync("zstd", ["-dc"], { input: blob, maxBuffer: 1 << 30 });

t.test("planZstdChunked() writes what openZstdChunked() reads, and zstd decodes it to the tar", async (t) => {
  const tar = tarOf(sampleEntries);
  for (const to of ["stargz", "containers"] as const) {
    const layer = await convertLayer(sampleEntries, { to, chunkSize, lengths: "early" });
    t.ok(unzstdProgram(layer.blob).equals(tar), `${to}: zstd gives the tar`);
    const opened = await openBlob(layer.blob, layer.annotations);
    t.equal(opened.dialect, to);
    t.equal(sha256(opened.toc), layer.tocDigest);
    const compiled = compileBlob(layer.blob, opened);
    const data = await ingestLayer(layer.blob, compiled);
    t.same(listTree(compiled, data), await listTar(tar), to);
    if (to === "stargz") continue;
    const { read } = readerOf(layer.blob);
    const { tarSplit, toc } = opened;
    const lines = await readTarSplit({ tarSplit: tarSplit!, toc, read, decompress: unzstd });
    t.ok(rebuildTar({ pieces: parseTarSplit(lines), root: compiled.root, data }).equals(tar));
  }
});

t.test("planEstargz() writes what openToc() reads, and gunzip gives the tar", async (t) => {
  for (const to of ["estargz", "external-estargz"] as const) {
    const layer = await convertLayer(sampleEntries, { to, chunkSize, lengths: "early" });
    const { blob, tocDigest, annotations } = layer;
    const tar = gunzipSync(blob);
    t.ok(tar.equals(layer.tar), `${to}: the digest of the tar can be told while it is written`);
    t.equal(annotations["containerd.io/snapshot/stargz/toc.digest"], tocDigest);
    t.equal(annotations["io.containers.estargz.uncompressed-size"], String(tar.length));
    const { read } = readerOf(blob);
    const loadExternalToc = async (): Promise<Buffer> => layer.tocBlob!;
    const opened = await openToc({ blobSize: blob.length, read, tocDigest, loadExternalToc });
    t.equal(opened.kind, to === "estargz" ? "estargz" : "external");
    const { toc, payloadEnd } = opened;
    const compiled = compileToc({ toc, blobSize: blob.length, payloadEnd, blockSize: 4096 });
    const expected = await listTar(tarOf(sampleEntries));
    t.same(listTree(compiled, decodeUnits(blob, compiled)), expected);
    if (to === "external-estargz") t.ok(tar.equals(tarOf(sampleEntries)), "the tar is as it was");
  }
});

t.test("a plan makes the same bytes whenever the lengths of streams become known", async (t) => {
  for (const to of ["estargz", "stargz", "containers"] as readonly ConvertTarget[]) {
    const [early, late] = await Promise.all(
      (["early", "late"] as const).map((lengths) => convertLayer(sampleEntries, { to, chunkSize, lengths })),
    );
    t.equal(sha256(early!.blob), sha256(late!.blob), to);
    t.same(early!.annotations, late!.annotations);
  }
});

const entry = (fields: Partial<WrittenEntry>): WrittenEntry => ({
  name: "x" as ByteString,
  type: "dir",
  mode: 0o755,
  uid: 0,
  gid: 0,
  mtime: { seconds: 0n, nanoseconds: 0 },
  xattrs: [],
  ...fields,
});

t.test("TocWriter refuses names and times that JSON can't hold", async (t) => {
  const refused = (fields: Partial<WrittenEntry>, reason: string): void => {
    const toc = new TocWriter({ dialect: "stargz" });
    t.throws(() => toc.addEntry(entry(fields)), { code: "INVALID_ARGUMENT", reason });
  };
  refused({ name: "\xff" as ByteString }, "toc-name-lossy");
  refused({ name: Buffer.from("\ufffd").toString("latin1") as ByteString }, "toc-name-lossy");
  refused({ name: "a\0b" as ByteString }, "toc-name");
  refused({ type: "symlink", linkName: "\xff" as ByteString }, "toc-name-lossy");
  refused({ xattrs: [{ name: "\xff" as ByteString, value: Buffer.alloc(0) }] }, "toc-name-lossy");
  refused({ mtime: { seconds: 253_402_300_800n, nanoseconds: 0 } }, "toc-time");
  refused({ mtime: { seconds: -(10n ** 15n), nanoseconds: 0 } }, "toc-time");
});

t.test("TocWriter keeps times to the nanosecond and xattrs of any name", async (t) => {
  const toc = new TocWriter({ dialect: "stargz" });
  const value = Buffer.from("v");
  const xattrs = ["user.b", "__proto__", "user.a"].map((name) => ({ name: name as ByteString, value }));
  toc.addEntry(entry({ mtime: { seconds: -1n, nanoseconds: 120_000_000 }, xattrs }));
  const json = toc.finish().toString();
  t.match(json, '"modtime":"1969-12-31T23:59:59.12Z"');
  t.match(json, '"xattrs":{"__proto__":"dg==","user.a":"dg==","user.b":"dg=="}');
});

t.test("a plan takes an empty layer and refuses to end before its streams have", async (t) => {
  const compress = zstd;
  const empty = planZstdChunked({ dialect: "stargz", compress });
  const { tail, annotations } = await empty.finish({ contentSize: 0 });
  const opened = await openBlob(tail, annotations);
  t.equal(compileBlob(tail, opened).root.children.size, 0);
  const { toc, finish } = planZstdChunked({ dialect: "stargz", compress });
  const digest = parseDigest(`sha256:${"0".repeat(64)}`);
  toc.addEntry(entry({ type: "reg", size: 1 }));
  t.throws(() => toc.addEntry(entry({})), "a file is still open");
  toc.addChunk({ stream: 0, innerOffset: 512, length: 1, digest });
  toc.endFile(digest);
  await t.rejects(finish({ contentSize: 1 }));
});
