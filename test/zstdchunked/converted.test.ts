import { readFile } from "node:fs/promises";
import t from "tap";
import { sha256 } from "../../src/bytes/index.js";
import { parseTarSplit, readTarSplit } from "../../src/zstdchunked/index.js";
import { listTree } from "../../testing/estargz-decode.js";
import { unzstd } from "../../testing/zstdchunked-builder.js";
import { ingestLayer, listTar } from "../../testing/zstdchunked-decode.js";
import { compileBlob, openBlob, readerOf } from "../../testing/zstdchunked-read.js";
import { rebuildTar } from "../../testing/zstdchunked-rebuild.js";
import { sampleEntries, tarOf } from "../../testing/zstdchunked-sample.js";

/**
 * Layers that other programs made of tarOf(sampleEntries): Debian's ctr-remote 0.12 (`images convert --zstdchunked --oci`),
 * and skopeo of bookworm and of trixie (`copy --dest-compress-format zstd:chunked`).
 */
const fixtures = {
  "ctr-remote-0.12": { dialect: "stargz", zerosOfMixed: 0, hasTarSplit: false },
  "skopeo-1.9": { dialect: "containers", zerosOfMixed: 3, hasTarSplit: false },
  "skopeo-1.18": { dialect: "containers", zerosOfMixed: 3, hasTarSplit: true },
} as const;

async function load(name: string): Promise<{ blob: Buffer; annotations: Record<string, string> }> {
  const folder = new URL("../../../test/zstdchunked/fixtures/", import.meta.url);
  const annotations = JSON.parse(await readFile(new URL(`${name}.json`, folder), "utf8"));
  return { blob: await readFile(new URL(`${name}.tar.zst`, folder)), annotations };
}

t.test("compileZstdChunked() makes of a converted layer what its tar holds", async (t) => {
  const expected = await listTar(tarOf(sampleEntries));
  for (const [name, facts] of Object.entries(fixtures)) {
    const { blob, annotations } = await load(name);
    const opened = await openBlob(blob, annotations);
    t.equal(opened.dialect, facts.dialect, name);
    t.equal(opened.tarSplit !== undefined, facts.hasTarSplit);
    const compiled = compileBlob(blob, opened);
    t.same(listTree(compiled, await ingestLayer(blob, compiled)), expected, `${name}: tree and contents`);
    const zeros = opened.toc.toString().split('"chunkType":"zeros"').length - 1;
    t.equal(zeros, facts.zerosOfMixed, `${name}: chunks of zeros`);
    const mapped = compiled.units.reduce((sum, unit) => sum + unit.dataLength, 0);
    // The landmark has no unit either.
    const expectedGap = facts.dialect === "stargz" ? 1 : 325_000;
    t.equal(compiled.facts.bytes - mapped, expectedGap, `${name}: zeros have no units`);
    t.ok(compiled.units.every(({ codec }) => codec === "zstd"));
  }
});

t.test("readTarSplit() and the contents of a layer make its tar again", async (t) => {
  const { blob, annotations } = await load("skopeo-1.18");
  const opened = await openBlob(blob, annotations);
  const compiled = compileBlob(blob, opened);
  const { read } = readerOf(blob);
  const { toc, tarSplit } = opened;
  const lines = await readTarSplit({ tarSplit: tarSplit!, toc, read, decompress: unzstd });
  const data = await ingestLayer(blob, compiled);
  const tar = rebuildTar({ pieces: parseTarSplit(lines), root: compiled.root, data });
  t.equal(sha256(tar), sha256(tarOf(sampleEntries)));
});
