import { readFile } from "node:fs/promises";
import { gunzipSync } from "node:zlib";
import t from "tap";
import { sha256 } from "../../src/bytes/index.js";
import {
  buildSociIndex,
  compileZtoc,
  encodeGzipZinfo,
  encodeTarZinfo,
  encodeZtoc,
  parseSociIndex,
  readGzipZinfo,
  readTarZinfo,
  readZtoc,
} from "../../src/soci/index.js";

import { buildTar, decodeSpans } from "./builder.js";
import { sampleLayer } from "./sample-layer.js";
import { treeLines } from "./tree-lines.js";

/** What `soci create --span-size 65536` of Debian's soci 0.4.1 made of our own layer, packed and not packed. */
const fixtures = new URL("../../../test/soci/fixtures/", import.meta.url);
const read = (name: string): Promise<Buffer> => readFile(new URL(name, fixtures));

const blob = await read("layer.tar.gz");
const tar = gunzipSync(blob);
const gzipZtoc = gunzipSync(await read("gzip.ztoc.gz"));
const tarZtoc = gunzipSync(await read("uncompressed.ztoc.gz"));

t.test("the fixture is the sample layer", async (t) => {
  t.ok(tar.equals(buildTar(sampleLayer).tar));
});

t.test("readZtoc() reads what soci has written", async (t) => {
  const { entries, spanDigests, zinfo, ...facts } = readZtoc(gzipZtoc);
  t.match(facts, {
    version: "0.9",
    buildTool: "AWS SOCI CLI v0.1",
    algorithm: "gzip",
    compressedSize: blob.length,
    uncompressedSize: tar.length,
    entryCount: sampleLayer.length,
  });
  t.same([...entries()], buildTar(sampleLayer).entries);
  const { checkpoints, ...head } = readGzipZinfo(zinfo);
  t.same(head, { version: 2, spanSize: 65_536 });
  t.ok(
    checkpoints.some(({ bits }) => bits > 0),
    "some spans begin inside a byte",
  );
  t.equal(spanDigests.length, checkpoints.length);
  t.same(readTarZinfo(readZtoc(tarZtoc).zinfo), { spanSize: 65_536, size: tar.length });
});

t.test("encodeZtoc() writes byte for byte what soci does", async (t) => {
  for (const theirs of [gzipZtoc, tarZtoc]) {
    const ztoc = readZtoc(theirs);
    const zinfo =
      ztoc.algorithm === "gzip"
        ? encodeGzipZinfo(readGzipZinfo(ztoc.zinfo))
        : encodeTarZinfo(readTarZinfo(ztoc.zinfo));
    t.ok(encodeZtoc({ ...ztoc, zinfo, entries: [...ztoc.entries()] }).equals(theirs), ztoc.algorithm);
  }
});

t.test("compileZtoc() makes units that decode to the tar, each for itself", async (t) => {
  const packed = compileZtoc({ ztoc: gzipZtoc, digest: sha256(gzipZtoc), blobSize: blob.length });
  t.ok(decodeSpans(packed, blob).equals(tar), "gzip");
  t.equal(packed.windows.length, packed.units.length * 32_768);
  t.ok(packed.units.every(({ codec, digestOf }) => codec === "deflateSpan" && digestOf === "blob"));
  const plain = compileZtoc({ ztoc: tarZtoc, digest: sha256(tarZtoc), blobSize: tar.length });
  t.ok(decodeSpans(plain, tar).equals(tar), "uncompressed");
  t.equal(plain.windows.length, 0);
  t.same(treeLines(plain.root, tar), treeLines(packed.root, tar), "both have the same tree");
});

t.test("buildSociIndex() writes byte for byte what soci does", async (t) => {
  const bytes = await read("index-v1");
  const { version, buildTool, ztocs, subject, prefetches } = parseSociIndex(bytes);
  t.match(
    [...ztocs.values()],
    [
      { digest: sha256(gzipZtoc), size: gzipZtoc.length, layerDigest: sha256(blob), disablesXattrs: false },
      { digest: sha256(tarZtoc), size: tarZtoc.length, layerDigest: sha256(tar) },
    ],
  );
  t.equal(prefetches.size, 0);
  const manifest = JSON.parse(bytes.toString());
  t.equal(subject, manifest.subject.digest);
  const built = buildSociIndex({
    version,
    buildTool: buildTool!,
    ztocs: [...ztocs.values()],
    subject: manifest.subject,
  });
  t.equal(built.bytes.toString(), bytes.toString());
});
