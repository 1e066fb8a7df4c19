import t from "tap";
import { parseDigest } from "../../src/bytes/index.js";
import { TOC_DIGEST_ANNOTATION } from "../../src/estargz/index.js";
import type { LayerIndexSource, LayerRequest } from "../../src/layer/index.js";
import { EngineRig, expectedHashes, hashesBelow } from "../../testing/layer/engine-rig.js";
import { MemorySource } from "../../testing/layer/memory-source.js";
import { sampleFiles } from "../../testing/layer/sample-layer.js";
import { buildZstdChunked, type LayerEntry } from "../../testing/zstdchunked-builder.js";

const files = sampleFiles("formats", [0, 5, 4096, 70_000, 300_000, 1_000_000]);
const folders = new Set(files.map(({ name }) => name.split("/")[0]!));
const entries: LayerEntry[] = [
  ...[...folders].map((name): LayerEntry => ({ name: `${name}/`, type: "dir" })),
  ...files.map((file): LayerEntry => ({ ...file, type: "reg" })),
];

function requestFor(blob: Buffer, index: LayerIndexSource): { request: LayerRequest; source: MemorySource } {
  const source = new MemorySource(blob);
  const request: LayerRequest = {
    digest: source.digest,
    mediaType: "",
    index,
    openSource: async () => source,
    origin: { reference: "memory.example/sample:1", size: source.size },
  };
  return { request, source };
}

for (const mount of ["erofs", "fuse-tree"] as const) {
  for (const dialect of ["stargz", "containers", "old-containers"] as const) {
    t.test(`a zstd:chunked layer of the ${dialect} dialect is lazy (${mount})`, async (t) => {
      await using rig = await EngineRig.make();
      const { blob, annotations } = await buildZstdChunked(entries, { dialect, chunkSize: 65_536 });
      const { request, source } = requestFor(blob, { kind: "zstdchunked", annotations });
      const engine = await rig.open({ mount });
      await engine.ensure(request, {});
      t.equal(engine.status(request.digest).format, "zstdchunked");
      t.ok(source.fetchedBytes < blob.length / 2, "its content is not here yet");
      const folder = await engine.mountPoint(request.digest);
      const { ".no.prefetch.landmark": _landmark, ...seen } = Object.fromEntries(await hashesBelow(folder));
      t.same(seen, Object.fromEntries(expectedHashes(files)));
    });
  }
}

t.test("ensure() tells by the footer which of two formats one annotation means", async (t) => {
  await using rig = await EngineRig.make();
  const { blob, annotations } = await buildZstdChunked(entries, { dialect: "stargz" });
  const tocDigest = parseDigest(annotations[TOC_DIGEST_ANNOTATION]);
  const { request } = requestFor(blob, { kind: "estargz", tocDigest });
  const engine = await rig.open();
  await engine.ensure(request, {});
  t.equal(engine.status(request.digest).format, "zstdchunked");
});
