import { sha256 } from "../../src/bytes/index.js";
import type { ErrorCode } from "../../src/errors/index.js";
import { checkWindow, compileZtoc, encodeTarZinfo, encodeZtoc } from "../../src/soci/index.js";
import { buildSoci } from "../soci/builder.js";
import { prose } from "../soci/sample-layer.js";
import type { HostileCase } from "./estargz-case.js";
import {
  checkpointAt,
  compile,
  compileRaw,
  compileWith,
  type Facts,
  factsOf,
  layer,
  plainLayer,
  zinfoOf,
  zinfoWith,
} from "./soci-case.js";

type Row = readonly [name: string, run: () => unknown, code: ErrorCode, reason: string];
type Verdict = readonly [code: ErrorCode, reason: string];

const malformed: Verdict = ["INVALID_ARGUMENT", "zinfo-malformed"];
const range: Verdict = ["INVALID_ARGUMENT", "zinfo-range"];
const order: Verdict = ["INVALID_ARGUMENT", "zinfo-order"];
const bits: Verdict = ["INVALID_ARGUMENT", "zinfo-bits"];
const ratio: Verdict = ["INVALID_ARGUMENT", "zinfo-ratio"];
const count: Verdict = ["INVALID_ARGUMENT", "ztoc-span-count"];
const digest: Verdict = ["INVALID_ARGUMENT", "ztoc-span-digest"];
const tooMany: Verdict = ["RESOURCE_EXHAUSTED", "ztoc-too-many-spans"];
const tooLarge: Verdict = ["RESOURCE_EXHAUSTED", "ztoc-span-too-large"];

const spans = layer.checkpoints.length;
const size = layer.blob.length;
const dataSize = layer.tar.length;
const points = layer.checkpoints;

const withZinfo = (change: (zinfo: Buffer) => unknown) => () => compileWith({ zinfo: zinfoWith(change) });
const withCount = (value: number) => withZinfo((zinfo) => zinfo.writeInt32LE(value));
/** One of the two offsets of a checkpoint. */
const withOffset = (index: number, field: "in" | "out", value: bigint | number) =>
  withZinfo((zinfo) => zinfo.writeBigInt64LE(BigInt(value), checkpointAt(index) + (field === "in" ? 0 : 8)));
const withBits = (index: number, value: number) =>
  withZinfo((zinfo) => {
    zinfo[checkpointAt(index) + 16] = value;
  });
/** Two spans, of a layer and a tar of the sizes given. */
const withSpans =
  (offsets: Parameters<typeof zinfoOf>[0], changes: Partial<Facts> = {}) =>
  () =>
    compileWith({
      zinfo: zinfoOf(offsets),
      spanDigests: layer.spanDigests.slice(0, offsets.length),
      ...changes,
    });

const counts: readonly Row[] = [
  ["no checkpoints at all", withZinfo(() => Buffer.alloc(0)), ...malformed],
  ["eleven bytes", withZinfo((zinfo) => zinfo.subarray(0, 11)), ...malformed],
  ["the header only", withZinfo((zinfo) => zinfo.subarray(0, 12)), ...malformed],
  ["count 0", withCount(0), ...malformed],
  ["count -1", withCount(-1), ...malformed],
  ["count -2^31", withCount(-(2 ** 31)), ...malformed],
  ["count 1", withCount(1), ...malformed],
  ["count 2^31 - 1", withCount(2 ** 31 - 1), ...tooMany],
  ["count whose bytes wrap at 32 bits to the right length", withCount(spans + 2 ** 30), ...tooMany],
  ["count that wraps with the stride", withCount(131_004 + spans), ...malformed],
  ["count one less", withCount(spans - 1), ...malformed],
  ["count one more, which means version 1", withCount(spans + 1), ...count],
  ["count two more", withCount(spans + 2), ...malformed],
  ["a byte too few", withZinfo((zinfo) => zinfo.subarray(0, -1)), ...malformed],
  ["a byte too many", withZinfo((zinfo) => Buffer.concat([zinfo, Buffer.alloc(1)])), ...malformed],
  ["version 1 without its count", withZinfo((zinfo) => zinfo.subarray(0, -32_785)), ...order],
  ["version 2 read as version 1", () => versionOne(), ...order],
  ["span size -1", withZinfo((zinfo) => zinfo.writeBigInt64LE(-1n, 4)), ...range],
  ["span size 2^63 - 1", withZinfo((zinfo) => zinfo.writeBigInt64LE(2n ** 63n - 1n, 4)), ...range],
];

/** The first checkpoint twice: read as version 1 there is an implied one before both. */
function versionOne(): unknown {
  const zinfo = zinfoWith((bytes) => bytes.writeInt32LE(spans + 1));
  return compileWith({ zinfo, spanDigests: [...layer.spanDigests, layer.spanDigests[0]!] });
}

const last = spans - 1;
const offsets: readonly Row[] = [
  ["in: negative", withOffset(2, "in", -1), ...range],
  ["in: -2^63", withOffset(2, "in", -(2n ** 63n)), ...range],
  ["in: 2^63 - 1", withOffset(2, "in", 2n ** 63n - 1n), ...range],
  ["in: 2^53 + 1", withOffset(2, "in", 2n ** 53n + 1n), ...range],
  ["in: the end of the blob", withOffset(last, "in", size), ...range],
  ["in: behind the end of the blob", withOffset(last, "in", size + 1), ...range],
  ["in: equal to the one before", withOffset(2, "in", points[1]!.blobOffset), ...order],
  ["in: before the one before", withOffset(2, "in", 11), ...order],
  ["in: of the first one 0", withOffset(0, "in", 0), ...order],
  ["in: of the first one inside the header", withOffset(0, "in", 9), ...order],
  ["out: negative", withOffset(2, "out", -1), ...range],
  ["out: 2^63 - 1", withOffset(2, "out", 2n ** 63n - 1n), ...range],
  ["out: behind the end of the tar", withOffset(2, "out", dataSize + 1), ...range],
  [
    "out: of the last one far behind the end of the tar",
    withOffset(last, "out", dataSize + 2 ** 21),
    ...range,
  ],
  ["out: equal to the one before", withOffset(2, "out", points[1]!.dataOffset), ...order],
  ["out: before the one before", withOffset(2, "out", 1), ...order],
  ["out: of the first one 512", withOffset(0, "out", 512), ...order],
  [
    "out: two spans swapped",
    withSpans([
      [10, 0],
      [200, 90_000],
      [300, 50_000],
    ]),
    ...order,
  ],
  ["bits 8", withBits(1, 8), ...bits],
  ["bits 255", withBits(1, 255), ...bits],
  ["bits of the first span", withBits(0, 3), ...order],
  [
    "spans that begin in one byte",
    withSpans([
      [10, 0],
      [200, 60_000],
      [201, 90_000, 4],
    ]),
    ...order,
  ],
  [
    "more bytes than deflate can make",
    withSpans([
      [10, 0],
      [11, 90_000],
    ]),
    ...ratio,
  ],
  ["a bomb: a span of 1 GiB", withSpans([[10, 0]], { uncompressedSize: 2 ** 30 }), ...tooLarge],
  [
    "a span of 65 MiB before another",
    withSpans(
      [
        [10, 0],
        [70_000, 65 * 2 ** 20],
      ],
      { uncompressedSize: 2 ** 27 },
    ),
    ...tooLarge,
  ],
  ["a span that is mostly the blob, for a byte", () => wide(), ...tooLarge],
];

/** Each read of the last byte would fetch two megabytes. */
function wide(): unknown {
  const built = buildSoci([{ name: "a", type: "reg", content: prose(3_000_000, 3) }], { level: 0 });
  const zinfo = zinfoOf([
    [10, 0],
    [300_000, built.tar.length - 1],
  ]);
  return compileWith({ ...factsOf(built), zinfo, spanDigests: layer.spanDigests.slice(0, 2) }, built);
}

const digests: readonly Row[] = [
  ["digests: one less", () => compileWith({ spanDigests: layer.spanDigests.slice(1) }), ...count],
  [
    "digests: one more",
    () => compileWith({ spanDigests: [...layer.spanDigests, layer.spanDigests[0]!] }),
    ...count,
  ],
  [
    "digests: none",
    () =>
      compileRaw(
        (places) =>
          void places.bytes.writeUInt32LE(0, places.follow(places.field(places.compressionInfo, 2))),
      ),
    ...count,
  ],
  ["digests: an empty text", () => compileWith({ spanDigests: withDigest("") }), ...digest],
  ["digests: sha512", () => compileWith({ spanDigests: withDigest(`sha512:${"a".repeat(128)}`) }), ...digest],
  ["digests: md5", () => compileWith({ spanDigests: withDigest(`md5:${"a".repeat(32)}`) }), ...digest],
  [
    "digests: upper case",
    () => compileWith({ spanDigests: withDigest(`sha256:${"A".repeat(64)}`) }),
    ...digest,
  ],
  ["digests: a path", () => compileWith({ spanDigests: withDigest("sha256:../../etc/passwd") }), ...digest],
  [
    "digests: 100,000 characters",
    () => compileWith({ spanDigests: withDigest(`sha256:${"a".repeat(100_000)}`) }),
    ...digest,
  ],
  ["last span -1", () => maxSpan(-1), ...count],
  ["last span -2^31", () => maxSpan(-(2 ** 31)), ...count],
  ["last span 2^31 - 1", () => maxSpan(2 ** 31 - 1), ...count],
  ["last span one less", () => maxSpan(spans - 2), ...count],
  ["last span one more", () => maxSpan(spans), ...count],
];

function withDigest(text: string): Facts["spanDigests"] {
  return layer.spanDigests.map((known, index) => (index === 1 ? (text as typeof known) : known));
}

function maxSpan(value: number): unknown {
  return compileRaw(({ bytes, ...places }) => {
    bytes.writeInt32LE(value, fieldOf(bytes, places.compressionInfo));
  });
}

/** The field max_span_id. */
function fieldOf(bytes: Buffer, table: number): number {
  return table + bytes.readUInt16LE(table - bytes.readInt32LE(table) + 6);
}

const tarSpans: readonly Row[] = [
  ["uncompressed: span size 0", () => plain({ spanSize: 0, size: plainLayer.tar.length }), ...range],
  ["uncompressed: span size -1", () => plain({ spanSize: -1, size: plainLayer.tar.length }), ...range],
  ["uncompressed: span size 1", () => plain({ spanSize: 1, size: plainLayer.tar.length }), ...count],
  ["uncompressed: size of another tar", () => plain({ spanSize: 65_536, size: 512 }), ...range],
  ["uncompressed: size 0", () => plain({ spanSize: 65_536, size: 0 }), ...range],
  [
    "uncompressed: checkpoints of gzip",
    () => compileWith({ zinfo: layer.zinfo }, plainLayer),
    "INVALID_ARGUMENT",
    "ztoc-flatbuffer",
  ],
  [
    "uncompressed: no spans",
    () => compileWith({ zinfo: Buffer.alloc(0) }, plainLayer),
    "INVALID_ARGUMENT",
    "ztoc-flatbuffer",
  ],
  [
    "uncompressed: a tar longer than the blob",
    () => compileWith({ uncompressedSize: plainLayer.tar.length + 512 }, plainLayer),
    ...range,
  ],
  ["gzip: spans of a tar", () => compileWith({ zinfo: plainLayer.zinfo }), ...malformed],
];

function plain(zinfo: Parameters<typeof encodeTarZinfo>[0]): unknown {
  return compileWith({ zinfo: encodeTarZinfo(zinfo) }, plainLayer);
}

const other: readonly Row[] = [
  [
    "a zTOC for another layer",
    () => compile(encodeZtoc(factsOf(layer)), size + 1),
    "INVALID_ARGUMENT",
    "ztoc-other-layer",
  ],
  [
    "a window with one byte altered, digest of the index as it was",
    () => forged(false),
    "DATA_LOSS",
    "ztoc-digest-mismatch",
  ],
  [
    "a window with one byte altered, all digests consistent",
    () => forged(true),
    "DATA_LOSS",
    "zinfo-window-mismatch",
  ],
  ["tar of 2^60 bytes", () => compileWith({ uncompressedSize: 2 ** 60 }), "INVALID_ARGUMENT", "ztoc-number"],
  ["blob of -1 bytes", () => compileWith({ compressedSize: -1 }), "INVALID_ARGUMENT", "ztoc-number"],
  ["algorithm 0", () => algorithm(0), "INVALID_ARGUMENT", "ztoc-algorithm"],
  ["algorithm 3, zstd some day", () => algorithm(3), "INVALID_ARGUMENT", "ztoc-algorithm"],
  ["algorithm -1", () => algorithm(-1), "INVALID_ARGUMENT", "ztoc-algorithm"],
];

/** With a digest that fits, only what stands before a span tells that its window is another one. */
function forged(isConsistent: boolean): void {
  const zinfo = zinfoWith((bytes) => {
    bytes[checkpointAt(2) + 17 + 500]! ^= 1;
  });
  const ztoc = encodeZtoc({ ...factsOf(layer), zinfo });
  const digestOf = isConsistent ? ztoc : encodeZtoc(factsOf(layer));
  const layout = compileZtoc({ ztoc, digest: sha256(digestOf), blobSize: size });
  const window = layout.windows.subarray(2 * 32_768, 3 * 32_768);
  const { dataOffset } = points[2]!;
  checkWindow({ unit: 2, dataOffset, window, before: layer.tar.subarray(0, dataOffset) });
}

/** The field is written only where it is not gzip. */
function algorithm(number: number): unknown {
  const bytes = Buffer.from(plainLayer.ztoc);
  const root = bytes.readUInt32LE(0);
  const vtable = root - bytes.readInt32LE(root);
  const at = root + bytes.readUInt16LE(vtable + 14);
  const info = at + bytes.readUInt32LE(at);
  bytes.writeInt8(number, info + bytes.readUInt16LE(info - bytes.readInt32LE(info) + 4));
  return compile(bytes, plainLayer.blob.length);
}

export const zinfoCases: readonly HostileCase[] = [
  ...counts,
  ...offsets,
  ...digests,
  ...tarSpans,
  ...other,
].map(([name, run, code, reason]) => ({ name: `zinfo: ${name}`, run, code, reason }));
