import t from "tap";
import type { FileNode } from "../../src/tree/index.js";
import { parseTarSplit, readTarSplit } from "../../src/zstdchunked/index.js";
import { listTree } from "../../testing/estargz-decode.js";
import { buildZstdChunked, unzstd } from "../../testing/zstdchunked-builder.js";
import { ingestLayer, listTar } from "../../testing/zstdchunked-decode.js";
import { compileBlob, openBlob, readerOf } from "../../testing/zstdchunked-read.js";
import { rebuildTar } from "../../testing/zstdchunked-rebuild.js";
import { sampleEntries, tarOf } from "../../testing/zstdchunked-sample.js";

const dialects = ["stargz", "containers", "old-containers"] as const;

t.test(
  "compileZstdChunked() makes the tree and the bytes of a layer, however it is cut into frames",
  async (t) => {
    const expected = await listTar(tarOf(sampleEntries));
    for (const dialect of dialects) {
      for (const chunkSize of [4_000_000, 100_000, 50_000, 10_000]) {
        const { blob, annotations } = await buildZstdChunked(sampleEntries, { dialect, chunkSize });
        const compiled = compileBlob(blob, await openBlob(blob, annotations));
        t.same(listTree(compiled, await ingestLayer(blob, compiled)), expected, `${dialect}, ${chunkSize}`);
      }
    }
  },
);

t.test("compileZstdChunked() leaves a gap where a chunk is zeros, even a whole file", async (t) => {
  const MIB = 1024 * 1024;
  const content = Buffer.concat([Buffer.alloc(MIB), Buffer.from("x"), Buffer.alloc(MIB)]);
  const entries = [{ name: "holes", type: "reg", content }] as const;
  const built = await buildZstdChunked(entries, { dialect: "containers", chunkSize: 64 * 1024 });
  const opened = await openBlob(built.blob, built.annotations);
  const compiled = compileBlob(built.blob, opened);
  t.equal(compiled.units.length, 1);
  t.equal(compiled.units[0]!.dataOffset, MIB);
  const data = await ingestLayer(built.blob, compiled);
  t.ok(data.subarray(0, content.length).equals(content));
  // Larger than any unit may be.
  const size = 3 * 1024 ** 4;
  const digest = `sha256:${"0".repeat(64)}`;
  const zeros = { name: "z", type: "reg", size, offset: 1, chunkSize: size, digest, chunkType: "zeros" };
  const toc = Buffer.from(JSON.stringify({ version: 1, entries: [zeros] }));
  const sparse = compileBlob(built.blob, { ...opened, toc });
  t.equal(sparse.units.length, 0);
  t.equal(sparse.dataSize, size);
  t.match(sparse.root.children.get("z" as never) as FileNode, { size: BigInt(size), dataOffset: 0n });
});

t.test(
  "compileZstdChunked() heeds chunk types and ends of files in the containers dialect only",
  async (t) => {
    const built = await buildZstdChunked(sampleEntries, { dialect: "containers", chunkSize: 5000 });
    const opened = await openBlob(built.blob, built.annotations);
    const heeded = compileBlob(built.blob, opened);
    const ignored = compileBlob(built.blob, { ...opened, dialect: "stargz" });
    t.ok(heeded.units.length < ignored.units.length);
    const lengthOf = ({ units }: typeof heeded): number =>
      units.reduce((sum, unit) => sum + unit.blobLength, 0);
    t.ok(lengthOf(heeded) < lengthOf(ignored), "headers between files are not fetched");
    const data = await ingestLayer(built.blob, heeded);
    t.ok(data.equals(await ingestLayer(built.blob, ignored)), "both give the same bytes");
  },
);

t.test("readTarSplit() gives the tar of a built layer, byte for byte", async (t) => {
  const built = await buildZstdChunked(sampleEntries, { dialect: "containers", chunkSize: 30_000 });
  const opened = await openBlob(built.blob, built.annotations);
  const { read } = readerOf(built.blob);
  const options = { tarSplit: opened.tarSplit!, toc: opened.toc, read, decompress: unzstd };
  const lines = await readTarSplit(options);
  t.same(lines, built.tarSplitLines);
  const compiled = compileBlob(built.blob, opened);
  const data = await ingestLayer(built.blob, compiled);
  t.ok(rebuildTar({ pieces: parseTarSplit(lines), root: compiled.root, data }).equals(built.tar));
});
