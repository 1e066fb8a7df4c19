import { readdir, readFile, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import t from "tap";
import { parseDigest, sha256, textOfBytes } from "../../src/bytes/index.js";
import { TOC_DIGEST_ANNOTATION } from "../../src/estargz/index.js";
import { compileIndex } from "../../src/layer/compile-index.js";
import type { LayerIndexSource, LayerRequest } from "../../src/layer/index.js";
import { layerPaths } from "../../src/layer/paths.js";
import { encodeGzipZinfo, encodeZtoc } from "../../src/soci/index.js";
import { EngineRig, expectedHashes, hashesBelow, until } from "../../testing/layer/engine-rig.js";
import { MemorySource } from "../../testing/layer/memory-source.js";
import { sampleFiles } from "../../testing/layer/sample-layer.js";
import { buildZstdChunked, type LayerEntry, zstd } from "../../testing/zstdchunked-builder.js";
import { buildSoci, buildTar } from "../soci/builder.js";

const files = sampleFiles("formats", [0, 5, 4096, 70_000, 300_000, 1_000_000]);
const folders = new Set(files.map(({ name }) => name.split("/")[0]!));
const entries: LayerEntry[] = [
  ...[...folders].map((name): LayerEntry => ({ name: `${name}/`, type: "dir" })),
  ...files.map((file): LayerEntry => ({ ...file, type: "reg" })),
];

/** The same files in an archive. */
const archive = buildTar(entries).tar;

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

for (const mount of ["erofs", "fuse-tree"] as const) {
  for (const algorithm of ["gzip", "uncompressed"] as const) {
    t.test(`a layer with a zTOC is lazy, ${algorithm} (${mount})`, async (t) => {
      await using rig = await EngineRig.make();
      const { blob, ztoc } = buildSoci(entries, { algorithm, memberSize: 500_000 });
      const load = async () => ({ ztoc, digest: sha256(ztoc) });
      const { request, source } = requestFor(blob, {
        kind: "soci",
        load,
        diffId: sha256(archive),
        otherwise: undefined,
      });
      const first = await rig.open({ mount });
      await first.ensure(request, {});
      t.match(first.status(request.digest), { format: "soci", cachedUnits: 0 });
      t.equal(source.fetchedBytes, 0, "the blob itself was not asked");
      t.same(await hashesBelow(await first.mountPoint(request.digest)), expectedHashes(files));
      const fetched = source.fetchedBytes;
      t.ok(fetched <= blob.length * 1.05, "each span once");
      await first.close();

      const second = await rig.open({ mount });
      const folder = await second.mountPoint(request.digest);
      t.same(await hashesBelow(folder), expectedHashes(files), "what is on disk has digests of its own");
      t.equal(second.status(request.digest).fetchedBytes, 0);
    });
  }
}

t.test("a layer without a zTOC in its image's index is refused, or fetched whole", async (t) => {
  await using rig = await EngineRig.make();
  const { blob } = buildSoci(entries);
  const load = async () => undefined;
  const { request } = requestFor(blob, { kind: "soci", load, diffId: sha256(archive), otherwise: undefined });
  const engine = await rig.open();
  await t.rejects(engine.ensure(request, {}), { code: "FAILED_PRECONDITION", reason: "no-index" });
  const otherwise = { kind: "whole", diffId: sha256(archive) } as const;
  await engine.ensure(
    {
      ...request,
      mediaType: packed.gzip.mediaType,
      index: { kind: "soci", load, diffId: undefined, otherwise },
    },
    {},
  );
  t.equal(engine.status(request.digest).format, "gzip");
});

const mediaType = "application/vnd.oci.image.layer.v1.tar";
const packed = {
  gzip: { blob: gzipSync(archive), mediaType: `${mediaType}+gzip` },
  "gzip of several members": {
    blob: Buffer.concat([gzipSync(archive.subarray(0, 300_000)), gzipSync(archive.subarray(300_000))]),
    mediaType: "application/vnd.docker.image.rootfs.diff.tar.gzip",
  },
  zstd: { blob: await zstd(archive), mediaType: `${mediaType}+zstd` },
  tar: { blob: archive, mediaType },
};

for (const [name, layer] of Object.entries(packed)) {
  t.test(`a layer without an index is fetched whole in one pass: ${name}`, async (t) => {
    await using rig = await EngineRig.make();
    const { request, source } = requestFor(layer.blob, { kind: "whole", diffId: sha256(archive) });
    const engine = await rig.open();
    await engine.ensure({ ...request, mediaType: layer.mediaType }, {});
    const status = engine.status(request.digest);
    t.ok(status.complete, "all of it is here");
    t.equal(source.fetchedBytes, layer.blob.length, "each byte came once");
    source.isDown = true;
    t.same(await hashesBelow(await engine.mountPoint(request.digest)), expectedHashes(files));
  });
}

t.test("a whole blob that is not what it should be leaves nothing behind", async (t) => {
  await using rig = await EngineRig.make();
  const engine = await rig.open();
  const { blob } = packed.gzip;
  const type = packed.gzip.mediaType;
  const refused = async (
    bytes: Buffer,
    wanted: { readonly code?: string; readonly reason?: string },
    change: Partial<LayerRequest> = {},
  ) => {
    const { request } = requestFor(bytes, { kind: "whole", diffId: sha256(archive) });
    const thrown = await t.rejects(engine.ensure({ ...request, mediaType: type, ...change }, {}));
    t.match(thrown, wanted);
    t.same(await readdir(join(rig.root, "layers", "v1")), [], "no folder is left");
  };
  await refused(gzipSync(archive.subarray(0, 512)), { code: "DATA_LOSS", reason: "diff-id-mismatch" });
  await refused(blob.subarray(0, blob.length - 20), { code: "INVALID_ARGUMENT", reason: "stream-truncated" });
  await refused(Buffer.from("no layer at all"), { code: "INVALID_ARGUMENT" });
  await refused(blob, { reason: "media-type-unknown" }, { mediaType: "" });
  const other = requestFor(blob, { kind: "whole", diffId: undefined }).request.digest;
  const lying = gzipSync(Buffer.concat([archive, Buffer.alloc(512)]));
  await refused(
    lying,
    { code: "DATA_LOSS", reason: "blob-digest-mismatch" },
    {
      digest: other,
      index: { kind: "whole", diffId: undefined },
      openSource: async () => new MemorySource(lying, other),
    },
  );
});

t.test(
  "a layer whose zTOC describes other files than its archive has is refused when it is complete",
  async (t) => {
    const { blob, ztoc, spanDigests, zinfo, entries: told } = buildSoci(entries);
    const lying = told.map((entry) => ({ ...entry, mode: entry.mode ^ 0o007 }));
    const facts = { compressedSize: blob.length, uncompressedSize: archive.length, spanDigests, zinfo };
    const other = encodeZtoc({ ...facts, algorithm: "gzip", entries: lying, buildTool: "liar" });
    const cases = [
      { bytes: ztoc, diffId: sha256(blob), reason: "diff-id-mismatch" },
      { bytes: other, diffId: sha256(archive), reason: "index-other-tree" },
    ];
    for (const { bytes, diffId, reason } of cases) {
      await using rig = await EngineRig.make();
      const load = async () => ({ ztoc: bytes, digest: sha256(bytes) });
      const { request } = requestFor(blob, { kind: "soci", load, diffId, otherwise: undefined });
      const engine = await rig.open();
      await engine.ensure(request, {});
      await hashesBelow(await engine.mountPoint(request.digest));
      await until(async () => engine.status(request.digest).lastError !== undefined);
      await t.rejects(engine.mountPoint(request.digest), { code: "DATA_LOSS", reason });
    }
  },
);

t.test("compileIndex() knows an archive again that ends before its last zeros", async (t) => {
  await using rig = await EngineRig.make();
  const dataPath = join(rig.root, "archive");
  await writeFile(dataPath, archive);
  const facts = { format: "archive", dataPath, dataSize: archive.length, blobSize: archive.length } as const;
  const padded = (bytes: number) => sha256(Buffer.concat([archive, Buffer.alloc(bytes)]));
  const { meta } = await compileIndex({ ...facts, diffId: sha256(archive) });
  for (const bytes of [512, 10_240, 1_048_576]) {
    const compiled = await compileIndex({ ...facts, diffId: padded(bytes) });
    t.ok(Buffer.from(compiled.meta).equals(meta), `${bytes} zeros`);
  }
  await t.rejects(compileIndex({ ...facts, diffId: padded(1_049_088) }), {
    code: "DATA_LOSS",
    reason: "diff-id-mismatch",
  });
});

t.test("a layer is refused as soon as a window of its zTOC is not what stands before the span", async (t) => {
  await using rig = await EngineRig.make();
  const built = buildSoci(entries);
  const { blob, spanDigests } = built;
  const forged = built.checkpoints.map((point) => ({ ...point, window: Buffer.from(point.window) }));
  forged[2]!.window[32_000]! ^= 1;
  const zinfo = encodeGzipZinfo({ version: 2, spanSize: 65_536, checkpoints: forged });
  const facts = { compressedSize: blob.length, uncompressedSize: archive.length, spanDigests, zinfo };
  const ztoc = encodeZtoc({ ...facts, algorithm: "gzip", entries: built.entries, buildTool: "liar" });
  const prefetch = [{ first: 2, last: 2, priority: 0 }];
  const load = async () => ({ ztoc, digest: sha256(ztoc), prefetch });
  const index = { kind: "soci", load, diffId: undefined, otherwise: undefined } as const;
  const { request } = requestFor(blob, index);
  const engine = await rig.open();
  await engine.ensure(request, {});
  await until(async () => engine.status(request.digest).cachedUnits === 1);
  const folder = await engine.mountPoint(request.digest);
  // The files between the spans 1 and 3.
  const { dataOffset } = built.checkpoints[1]!;
  const before = built.entries.findLast((entry) => entry.dataOffset <= dataOffset && entry.size > 0)!;
  await readFile(join(folder, textOfBytes(before.name)));
  await until(async () => engine.status(request.digest).lastError !== undefined);
  t.notOk(engine.status(request.digest).complete, "long before all of it is here");
  await t.rejects(engine.mountPoint(request.digest), { code: "DATA_LOSS", reason: "zinfo-window-mismatch" });
});

t.test("a layer with a zTOC has those spans fetched ahead that its index names, and no others", async (t) => {
  const { blob, ztoc, checkpoints } = buildSoci(entries);
  const prefetch = [
    { first: 3, last: 4, priority: 0 },
    { first: checkpoints.length + 5, last: checkpoints.length + 9, priority: 0 },
    { first: 1, last: 1, priority: 1 },
  ];
  const load = async () => ({ ztoc, digest: sha256(ztoc), prefetch });
  await using rig = await EngineRig.make();
  const index = { kind: "soci", load, diffId: undefined, otherwise: undefined } as const;
  const { request, source } = requestFor(blob, index);
  rig.sources.set(request.digest, source);
  const engine = await rig.open();
  await engine.ensure(request, {});
  await until(async () => engine.status(request.digest).cachedUnits === 3);
  t.equal(engine.status(request.digest).cachedBytes, [1, 3, 4].reduce(bytesOf, 0));
  await engine.close();
  const again = await rig.open();
  await again.mountPoint(request.digest);
  t.equal(again.status(request.digest).cachedUnits, 3, "they are known again");

  function bytesOf(sum: number, span: number): number {
    return sum + checkpoints[span + 1]!.dataOffset - checkpoints[span]!.dataOffset;
  }
});

t.test("a layer that was fetched whole outlives a crash before its data is on disk", async (t) => {
  await using rig = await EngineRig.make();
  const { blob, mediaType: type } = packed.gzip;
  const { request, source } = requestFor(blob, { kind: "whole", diffId: sha256(archive) });
  const { bitmap, data } = layerPaths(rig.root, request.digest);
  const engine = await rig.open();
  await engine.ensure({ ...request, mediaType: type }, {});
  const early = await readFile(bitmap);
  t.same(await hashesBelow(await engine.mountPoint(request.digest)), expectedHashes(files));
  await engine.close();
  t.notSame(await readFile(bitmap), early, "the bitmap has its units once they were synced");

  // What the disk has after the machine went down at the worst moment.
  await writeFile(bitmap, early);
  await truncate(data, 4096);
  rig.sources.set(request.digest, source);
  const again = await rig.open();
  t.equal(again.status(request.digest).cachedUnits, 0, "nothing that was not synced is believed");
  const before = source.fetchedBytes;
  t.same(await hashesBelow(await again.mountPoint(request.digest)), expectedHashes(files));
  t.ok(source.fetchedBytes > before, "its units came again");
});
