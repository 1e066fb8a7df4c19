import { execFileSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { closeSync, openSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { deflateRawSync, gunzipSync, gzipSync, inflateRawSync, constants as zlib } from "node:zlib";
import { gzip as pakoGzip, ungzip as pakoUngzip } from "pako";
import t from "tap";
import { type IndexedStream, streamReasons } from "../../src/fuse/index.js";
import { encodeGzipZinfo, readZtoc } from "../../src/soci/index.js";
import { type IndexedSpan, readSpans } from "../../src/units/index.js";
import { buildSoci } from "../soci/builder.js";
import { inflate } from "../soci/inflate.js";
import { prose, sampleLayer } from "../soci/sample-layer.js";
import { gzipMembers, indexStream } from "./index-stream.js";
import { binding } from "./rig.js";

const WINDOW = 32_768;
const content = Buffer.concat([
  prose(600_000, 5),
  Buffer.alloc(200_000),
  randomBytes(100_000),
  prose(300_000, 6),
]);

function digest(bytes: Uint8Array): Buffer {
  return createHash("sha256").update(bytes).digest();
}

/** What SOCI calls the checkpoints of an indexed stream. */
function checkpointsOf(indexed: IndexedStream) {
  return readSpans(indexed.spans).map(({ blobOffset, dataOffset, innerOffset }, index) => ({
    blobOffset: innerOffset === 0 ? blobOffset : blobOffset + 1,
    dataOffset,
    bits: innerOffset,
    window: windowOf(indexed, index),
  }));
}

function windowOf(indexed: IndexedStream, span: number): Buffer {
  return indexed.windows.subarray(span * WINDOW, (span + 1) * WINDOW);
}

t.test("StreamIndexer finds in gzip what zlib and pako find, whoever packed it", async (t) => {
  const blobs = {
    node: gzipSync(content),
    pako: Buffer.from(pakoGzip(content, { level: 3 })),
    gzip: execFileSync("gzip", ["-c", "-1"], { input: content, maxBuffer: 10_000_000 }),
    members: gzipMembers(content),
  };
  for (const [name, blob] of Object.entries(blobs)) {
    t.ok(gunzipSync(blob).equals(content), "the sample is whole");
    for (const pieceBytes of [1000, blob.length]) {
      const indexed = await indexStream(blob, { pieceBytes });
      t.ok(indexed.data.equals(content), `${name}: data`);
      t.equal(indexed.dataSize, content.length);
      t.equal(indexed.blobSize, blob.length);
      t.ok(indexed.dataSha256.equals(digest(pakoUngzip(blob))), `${name}: sha256 of the data`);
      t.ok(indexed.blobSha256.equals(digest(blob)), `${name}: sha256 of the blob`);
      t.equal(indexed.streamCount, name === "members" ? 4 : 1);
      const spans = readSpans(indexed.spans);
      t.ok(spans.length > 5, `${name}: ${spans.length} spans`);
      t.equal(indexed.windows.length, spans.length * WINDOW);
      for (const { dataOffset, dataLength, blobOffset, blobLength, dataSha256, blobSha256 } of spans) {
        t.ok(dataSha256.equals(digest(content.subarray(dataOffset, dataOffset + dataLength))));
        t.ok(blobSha256.equals(digest(blob.subarray(blobOffset, blobOffset + blobLength))));
      }
    }
  }
});

t.test("StreamIndexer puts checkpoints where another inflate can begin", async (t) => {
  for (const blob of [gzipSync(content), Buffer.from(pakoGzip(content))]) {
    const indexed = await indexStream(blob);
    const spans = readSpans(indexed.spans);
    t.ok(spans.filter(({ innerOffset }) => innerOffset > 0).length > 3, "some begin inside a byte");
    for (const [index, { dataOffset, dataLength, blobOffset, blobLength, innerOffset }] of spans.entries()) {
      const { data } = inflate({
        bytes: blob.subarray(blobOffset, blobOffset + blobLength),
        startBit: (8 - innerOffset) & 7,
        window: windowOf(indexed, index),
        length: dataLength,
      });
      t.ok(data.equals(content.subarray(dataOffset, dataOffset + dataLength)), `span ${index}`);
    }
  }
});

t.test("StreamIndexer puts checkpoints where zlib can begin, at whole bytes", async (t) => {
  // A block of stored bytes ends at a whole byte, and what follows it refers back to it.
  const data = content.subarray(0, 500_000);
  const parts = Array.from({ length: 50 }, (_, index) => {
    const [start, middle, end] = [index * 10_000, index * 10_000 + 2000, (index + 1) * 10_000];
    const dictionary = data.subarray(Math.max(0, middle - WINDOW), middle);
    const finishFlush = zlib.Z_SYNC_FLUSH;
    return [
      deflateRawSync(data.subarray(start, middle), { level: 0, finishFlush }),
      deflateRawSync(data.subarray(middle, end), { dictionary, finishFlush }),
    ];
  });
  const whole = gzipSync(data);
  const packed = [whole.subarray(0, 10), ...parts.flat(), deflateRawSync(""), whole.subarray(-8)];
  const blob = Buffer.concat(packed);
  const indexed = await indexStream(blob, { spanSizeBytes: 1000 });
  const spans = readSpans(indexed.spans);
  const isByte = ({ innerOffset, dataLength }: IndexedSpan): boolean => innerOffset === 0 && dataLength > 0;
  t.ok(spans.filter(isByte).length >= 50, "every stored block ends at a whole byte");
  for (const [index, span] of spans.entries()) {
    if (!isByte(span)) continue;
    const { dataOffset, dataLength, blobOffset, blobLength } = span;
    const dictionary = windowOf(indexed, index);
    const decoded = inflateRawSync(blob.subarray(blobOffset, blobOffset + blobLength), {
      dictionary,
      finishFlush: zlib.Z_SYNC_FLUSH,
    });
    t.ok(decoded.subarray(0, dataLength).equals(data.subarray(dataOffset, dataOffset + dataLength)));
  }
});

t.test("StreamIndexer finds the checkpoints that soci finds", async (t) => {
  const fixtures = new URL("../../../test/soci/fixtures/", import.meta.url);
  const blob = await readFile(new URL("layer.tar.gz", fixtures));
  const theirs = readZtoc(gunzipSync(await readFile(new URL("gzip.ztoc.gz", fixtures))));
  const ours = await indexStream(blob, { spanSizeBytes: 65_536 });
  const zinfo = encodeGzipZinfo({ version: 2, spanSize: 65_536, checkpoints: checkpointsOf(ours) });
  t.ok(zinfo.equals(theirs.zinfo), "byte for byte");
  t.same(
    readSpans(ours.spans).map(({ blobSha256 }) => `sha256:${blobSha256.toString("hex")}`),
    theirs.spanDigests,
  );
  for (const memberSize of [40_000, 100_000]) {
    const built = buildSoci(sampleLayer, { memberSize });
    const checkpoints = checkpointsOf(await indexStream(built.blob, { spanSizeBytes: 65_536 }));
    t.ok(encodeGzipZinfo({ version: 2, spanSize: 65_536, checkpoints }).equals(built.zinfo), "members");
  }
});

t.test("StreamIndexer cuts zstd at frames and inside them, and raw streams anywhere", async (t) => {
  const frame = (bytes: Buffer): Buffer => execFileSync("zstd", ["-q", "-c", "--check"], { input: bytes });
  const frames = Buffer.concat([frame(content.subarray(0, 400_000)), frame(content.subarray(400_000))]);
  const zstd = await indexStream(frames, { codec: "zstd", spanSizeBytes: 300_000 });
  t.ok(zstd.data.equals(content));
  t.equal(zstd.streamCount, 2);
  t.same(
    readSpans(zstd.spans).map(({ dataOffset, innerOffset }) => [dataOffset, innerOffset]),
    [
      [0, 0],
      [300_000, 300_000],
      [400_000, 0],
      [700_000, 300_000],
      [1_000_000, 600_000],
    ],
  );
  t.equal(zstd.windows.length, 0);
  const raw = await indexStream(content, { codec: "raw", spanSizeBytes: 500_000 });
  t.ok(raw.data.equals(content) && raw.dataSha256.equals(raw.blobSha256));
  t.same(
    readSpans(raw.spans).map(({ blobOffset, blobLength }) => [blobOffset, blobLength]),
    [
      [0, 500_000],
      [500_000, 500_000],
      [1_000_000, 200_000],
    ],
  );
});

t.test("StreamIndexer names what is wrong with a stream", async (t) => {
  const blob = gzipSync(prose(2000, 7));
  const changed = (at: number): Buffer => {
    const copy = Buffer.from(blob);
    copy[at] = copy[at]! ^ 0x10;
    return copy;
  };
  const rejects = (bytes: Buffer, reason: string, options = {}): Promise<unknown> =>
    t.rejects(indexStream(bytes, options), { code: "ERR_STREAM", reason }, reason) as Promise<unknown>;
  await rejects(changed(0), streamReasons.corrupt);
  await rejects(changed(blob.length - 8), streamReasons.checksum);
  await rejects(changed(blob.length - 4), streamReasons.length);
  await rejects(Buffer.concat([blob, Buffer.alloc(1)]), streamReasons.trailingGarbage);
  await rejects(blob, streamReasons.tooLarge, { dataSizeMax: 1999 });
  for (let length = 0; length < blob.length; length += 1) {
    await rejects(blob.subarray(0, length), streamReasons.truncated);
  }
});

t.test("push() holds back who pushes, and every call ends when the indexer is closed", async (t) => {
  const dataFd = openSync("/dev/null", "r+");
  const options = { codec: "gzip", dataFd, spanSizeBytes: 1_000_000, keepWindows: false } as const;
  t.throws(() => new binding.StreamIndexer({ ...options, dataSizeMax: 1e9 }), {
    code: "ERR_INVALID_ARG_VALUE",
  });
  closeSync(dataFd);
  const path = t.testdir({ data: "" });
  const file = openSync(`${path}/data`, "w");
  const open = { ...options, codec: "raw", dataFd: file, dataSizeMax: 1e9 } as const;
  t.throws(() => new binding.StreamIndexer({ ...open, spanSizeBytes: 1 }), { code: "ERR_INVALID_ARG_VALUE" });
  t.throws(() => new binding.StreamIndexer({ ...open, codec: "xz" as "raw" }), {
    code: "ERR_INVALID_ARG_VALUE",
  });
  const indexer = new binding.StreamIndexer(open);
  closeSync(file);
  const large = indexer.push(Buffer.alloc(60_000_000, 1));
  t.throws(() => indexer.push(Buffer.alloc(1)), { code: "ERR_INVALID_STATE" }, "the first has not resolved");
  await large;
  const waiting = indexer.push(Buffer.alloc(60_000_000, 1));
  const closing = indexer.close();
  // It may have come to its end before.
  await waiting.catch((error: Error) => t.match(error, { code: "ECANCELED" }));
  await closing;
  await t.rejects(indexer.push(Buffer.alloc(1)), { code: "ECANCELED" });
  await t.rejects(indexer.end(), { code: "ECANCELED" });
  t.throws(() => indexer.end(), { code: "ERR_INVALID_STATE" });
  await indexer.close();
});

t.test("compressMember() makes what others read, the same each time", async (t) => {
  for (const bytes of [content, Buffer.alloc(0)]) {
    const gzip = await binding.compressMember(bytes, { codec: "gzip", level: 9 });
    t.ok(gunzipSync(gzip).equals(bytes) && Buffer.from(pakoUngzip(gzip)).equals(bytes), "gzip");
    t.same([...gzip.subarray(0, 10)], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 255], "no name, no time, no system");
    t.ok(gzip.equals(await binding.compressMember(bytes, { codec: "gzip", level: 9 })));
    const zstd = await binding.compressMember(bytes, { codec: "zstd", level: 3 });
    t.ok(execFileSync("zstd", ["-dc"], { input: zstd, maxBuffer: 10_000_000 }).equals(bytes), "zstd");
  }
  const call = (codec: string, level: number): unknown =>
    binding.compressMember(content, { codec: codec as "gzip", level });
  for (const [codec, level] of [
    ["gzip", 10],
    ["gzip", 0],
    ["zstd", 20],
    ["xz", 1],
  ] as const)
    t.throws(() => call(codec, level), { code: "ERR_INVALID_ARG_VALUE" }, `${codec} ${level}`);
});
