import { mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import t from "tap";
import { type Digest, sha256 } from "../../src/bytes/index.js";
import { LazuliError, unavailable } from "../../src/errors/index.js";
import type { BlobSource, RangeRequest } from "../../src/registry/index.js";
import { EngineRig } from "../../testing/layer/engine-rig.js";
import { MemorySource } from "../../testing/layer/memory-source.js";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { command } from "../../testing/rig/command.js";
import { zstd } from "../../testing/zstdchunked-builder.js";
import { buildTar } from "../soci/builder.js";
import { prose } from "../soci/sample-layer.js";
import type { StreamCase } from "./streams-case.js";
import { deflateCases } from "./streams-deflate-cases.js";
import { DeflateWriter, member } from "./streams-gzip.js";
import { gzipHeaderCases, gzipMemberCases, gzipTrailerCases } from "./streams-gzip-cases.js";
import { foldersOf, pullTo, typesOf, wholeRequest, withFolder } from "./streams-pull-rig.js";
import {
  rawCases,
  zstdBlockCases,
  zstdFrameCases,
  zstdSizeCases,
  zstdTrailerCases,
} from "./streams-zstd-cases.js";

t.setTimeout(0);

/** Where the limit of the bytes is the case's own, a pull has another one; and it has a word for no bytes at all. */
const cases: readonly StreamCase[] = [
  ...gzipHeaderCases,
  ...gzipTrailerCases,
  ...gzipMemberCases,
  ...deflateCases,
  ...zstdFrameCases,
  ...zstdSizeCases,
  ...zstdBlockCases,
  ...zstdTrailerCases,
  ...rawCases,
].filter(({ blob, dataSizeMax }) => dataSizeMax === undefined && blob.length > 0);

const BLOCK = 4096;
const archive = buildTar([
  { name: "dir/", type: "dir" },
  { name: "dir/file", type: "reg", content: prose(300_000, 5) },
]).tar;
const diffId = sha256(archive);
const layer = gzipSync(archive);

async function errorOf(call: Promise<unknown>): Promise<LazuliError> {
  try {
    await call;
  } catch (thrown) {
    return LazuliError.from(thrown);
  }
  return new LazuliError("OK" as "UNKNOWN", "nothing was thrown", { reason: "accepted" });
}

t.test("pullWhole() writes the right bytes or refuses each hostile stream", async (t) => {
  await withFolder(async (folder) => {
    for (const [index, { name, codec, blob, data, reason }] of cases.entries()) {
      const path = join(folder, String(index));
      const mediaType = typesOf[codec];
      const pulling = pullTo(path, new MemorySource(blob), { mediaType });
      if (data === undefined) {
        const { code, reason: seen } = await errorOf(pulling);
        t.same({ code, reason: seen }, { code: "INVALID_ARGUMENT", reason }, `${codec}: ${name}`);
        continue;
      }
      const pulled = await pulling;
      t.equal(pulled.diffId, sha256(data), `${codec}: ${name}`);
      const padded = Buffer.alloc(Math.ceil(data.length / BLOCK) * BLOCK);
      data.copy(padded);
      t.ok((await readFile(path)).equals(padded), `${codec}: ${name}: the file, in whole blocks`);
    }
  });
});

t.test("ensure() leaves nothing of a hostile stream, and goes on", async (t) => {
  await using rig = await EngineRig.make();
  const engine = await rig.open();
  for (const { name, codec, blob, reason } of cases) {
    if (reason === undefined) continue;
    const request = wholeRequest(new MemorySource(blob), { mediaType: typesOf[codec] });
    t.equal((await errorOf(engine.ensure(request, {}))).reason, reason, `${codec}: ${name}`);
    const left = await foldersOf(rig);
    if (left.length > 0) t.fail(`${codec}: ${name} leaves ${left}`);
  }
  const request = wholeRequest(new MemorySource(layer), { mediaType: typesOf.gzip, diffId });
  await engine.ensure(request, {});
  t.ok(engine.status(request.digest).complete, "a good layer is still taken");
});

/** One block of deflate without a border for 65 MiB. */
function longBlock(): Buffer {
  const bytes = 65 << 20;
  const writer = new DeflateWriter().block(1).fixed(0);
  const matches = Math.ceil(bytes / 258);
  for (let match = 0; match < matches; match += 1) writer.fixed(285).code(0, 5);
  return member(writer.end().bytes, Buffer.alloc(1 + matches * 258));
}

t.test("ensure() refuses what the plane could not fetch again", async (t) => {
  await using rig = await EngineRig.make();
  const engine = await rig.open();
  const request = wholeRequest(new MemorySource(longBlock()), { mediaType: typesOf.gzip });
  const refusal = { code: "RESOURCE_EXHAUSTED", reason: "span-too-large" };
  t.match(await errorOf(engine.ensure(request, {})), refusal);
  t.same(await foldersOf(rig), [], "no folder is left");
});

t.test("ensure() refuses bytes that are not of their media type", async (t) => {
  await using rig = await EngineRig.make();
  const engine = await rig.open();
  const blobs = { gzip: layer, zstd: await zstd(archive), raw: archive };
  const wrong: readonly (readonly [keyof typeof blobs, string, string])[] = [
    ["gzip", typesOf.zstd, "stream-corrupt"],
    ["zstd", typesOf.gzip, "stream-corrupt"],
    ["raw", typesOf.gzip, "stream-corrupt"],
    ["raw", typesOf.zstd, "stream-corrupt"],
    ["gzip", typesOf.raw, "diff-id-mismatch"],
    ["zstd", typesOf.raw, "diff-id-mismatch"],
    ["gzip", "", "media-type-unknown"],
    ["gzip", "application/vnd.oci.image.config.v1+json", "media-type-unknown"],
    ["gzip", "application/vnd.oci.image.layer.v1.tar+xz", "media-type-unknown"],
    ["gzip", "APPLICATION/VND.OCI.IMAGE.LAYER.V1.TAR+GZIP", "media-type-unknown"],
    ["gzip", `${typesOf.gzip}\n`, "media-type-unknown"],
    ["gzip", typesOf.gzip.repeat(1000), "media-type-unknown"],
  ];
  for (const [codec, mediaType, reason] of wrong) {
    const request = wholeRequest(new MemorySource(blobs[codec]), { mediaType, diffId });
    t.equal(
      (await errorOf(engine.ensure(request, {}))).reason,
      reason,
      `${codec} as ${mediaType.slice(0, 80)}`,
    );
    t.same(await foldersOf(rig), []);
  }
});

t.test("pullWhole() tells wrong bytes of a registry from a wrong image", async (t) => {
  await withFolder(async (folder) => {
    const mediaType = typesOf.gzip;
    const other = sha256(Buffer.from("another blob"));
    const source = new MemorySource(layer, other);
    const wrong = await errorOf(pullTo(join(folder, "1"), source, { mediaType, diffId }));
    t.match(wrong, { code: "DATA_LOSS", reason: "blob-digest-mismatch", subject: other });
    t.same(source.distrusted, [{ offset: 0, length: layer.length }], "the registry is asked no more");
    const right = new MemorySource(layer);
    const image = await errorOf(pullTo(join(folder, "2"), right, { mediaType, diffId: other }));
    t.match(image, { code: "DATA_LOSS", reason: "diff-id-mismatch", subject: right.digest });
    t.same(right.distrusted, [], "the registry did nothing wrong");
    const both = await errorOf(
      pullTo(join(folder, "3"), new MemorySource(layer, other), { mediaType, diffId: other }),
    );
    t.equal(both.reason, "blob-digest-mismatch", "what came is wrong before what it means is");
    const damaged = new MemorySource(layer);
    damaged.wrong = { offset: layer.length - 8, length: 1, times: 9 };
    t.equal(
      (await errorOf(pullTo(join(folder, "4"), damaged, { mediaType }))).reason,
      "stream-checksum-mismatch",
    );
  });
});

/** A source that answers with other bytes than it is asked for. */
class LyingSource implements BlobSource {
  readonly digest: Digest = sha256(layer);
  readonly size: number;
  readonly description = "memory.example/liar";
  readonly #answer: (wanted: Buffer, request: RangeRequest) => Iterable<Buffer>;

  constructor(answer: (wanted: Buffer, request: RangeRequest) => Iterable<Buffer>, size = layer.length) {
    this.#answer = answer;
    this.size = size;
  }

  async *readRange(request: RangeRequest): AsyncGenerator<Buffer> {
    yield* this.#answer(layer.subarray(request.offset, request.offset + request.length), request);
  }

  distrust(): void {
    // Nobody else has the bytes.
  }
}

t.test("ensure() refuses a source that gives fewer or more bytes than it should", async (t) => {
  await using rig = await EngineRig.make();
  const engine = await rig.open();
  function* broken(wanted: Buffer): Generator<Buffer> {
    yield wanted.subarray(0, 100);
    throw unavailable("Cannot read blob: the line is cut", { reason: "line-cut" });
  }
  const sources: readonly (readonly [string, BlobSource, string])[] = [
    ["nothing", new LyingSource(() => []), "source-length"],
    ["empty pieces", new LyingSource(() => [Buffer.alloc(0), Buffer.alloc(0)]), "source-length"],
    ["one byte fewer", new LyingSource((wanted) => [wanted.subarray(1)]), "source-length"],
    ["one byte more", new LyingSource((wanted) => [wanted, Buffer.of(0)]), "source-length"],
    ["the bytes twice", new LyingSource((wanted) => [wanted, wanted]), "source-length"],
    [
      "bytes without an end",
      new LyingSource(function* () {
        while (true) yield Buffer.alloc(65_536);
      }),
      "source-length",
    ],
    ["a failure in the middle", new LyingSource(broken), "line-cut"],
    ["a size that is too small", new LyingSource((wanted) => [wanted], layer.length - 1), "stream-truncated"],
    ["a size that is too large", new LyingSource((wanted) => [wanted], layer.length + 1), "source-length"],
    ["a size of nothing", new LyingSource((wanted) => [wanted], 0), "layer-empty"],
    ["the bytes from behind", new LyingSource((wanted) => [Buffer.from(wanted).reverse()]), "stream-corrupt"],
  ];
  for (const [name, source, reason] of sources) {
    const request = wholeRequest(source, { mediaType: typesOf.gzip, diffId });
    t.equal((await errorOf(engine.ensure(request, {}))).reason, reason, name);
    t.same(await foldersOf(rig), [], `${name}: no folder is left`);
  }
  const pieces = new LyingSource((wanted) =>
    Array.from({ length: wanted.length }, (_, at) => wanted.subarray(at, at + 1)),
  );
  await engine.ensure(wholeRequest(pieces, { mediaType: typesOf.gzip, diffId }), {});
  t.ok(engine.status(pieces.digest).complete, "pieces of one byte are fine");
});

t.test("ensure() ends when it is cancelled, wherever it is", async (t) => {
  await using rig = await EngineRig.make();
  const engine = await rig.open();
  const source = new MemorySource(layer);
  source.pieceBytes = 4096;
  const request = wholeRequest(source, { mediaType: typesOf.gzip, diffId });
  const before = await errorOf(engine.ensure(request, { signal: AbortSignal.abort() }));
  t.equal(before.code, "CANCELED", "before it begins");
  const opening = new AbortController();
  const openSource = async (): Promise<BlobSource> => {
    opening.abort();
    return source;
  };
  t.equal(
    (await errorOf(engine.ensure({ ...request, openSource }, { signal: opening.signal }))).code,
    "CANCELED",
  );
  const pieces = Math.ceil(layer.length / source.pieceBytes);
  for (let released = 0; released < pieces; released += Math.ceil(pieces / 6)) {
    source.hold();
    const canceller = new AbortController();
    const seen = source.requests.length;
    const ensuring = errorOf(engine.ensure(request, { signal: canceller.signal }));
    while (source.requests.length === seen) await new Promise(setImmediate);
    const goal = source.fetchedBytes + released * source.pieceBytes;
    while (source.fetchedBytes < goal) {
      source.release(1);
      await new Promise(setImmediate);
    }
    canceller.abort();
    const { code } = await ensuring;
    source.release();
    t.equal(code, "CANCELED", `after ${released} of ${pieces} pieces`);
  }
  while ((await foldersOf(rig)).length > 0) await new Promise(setImmediate);
  await engine.ensure(request, {});
  t.ok(engine.status(request.digest).complete, "it is taken when somebody wants it");
});

t.test("a full disk is a typed error, and leaves room for the next layer", async (t) => {
  await using cleanup = new Cleanup();
  await using rig = await EngineRig.make();
  const disk = join(rig.root, "layers");
  await mkdir(disk);
  await command("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", disk]);
  cleanup.add(async () => {
    await command("umount", ["--lazy", disk], { allow: [1, 32] });
  });
  const large = gzipSync(Buffer.concat([prose(3_000_000, 3), archive]));
  const engine = await rig.open();
  for (const [codec, blob] of [
    ["gzip", large],
    ["raw", prose(3_000_000, 3)],
    ["zstd", await zstd(prose(3_000_000, 3))],
  ] as const) {
    const request = wholeRequest(new MemorySource(blob), { mediaType: typesOf[codec] });
    t.equal((await errorOf(engine.ensure(request, {}))).code, "RESOURCE_EXHAUSTED", codec);
    t.same(await foldersOf(rig), [], "no folder is left");
  }
  await engine.ensure(wholeRequest(new MemorySource(layer), { mediaType: typesOf.gzip, diffId }), {});
  t.equal((await readdir(join(disk, "v1"))).length, 1, "a small layer is taken");
});
