import { assert, resourceExhausted } from "../errors/index.js";
import { type Unit, type UnitCodec, WINDOW_SIZE } from "./unit-table.js";

const MIB = 1024 * 1024;
/** The plane's own bounds (native/core/limits.h): a worker holds a whole unit, and decodes all that stands before it. */
const UNIT_BYTES_MAX = 64 * MIB;
const STREAM_BYTES_MAX = 256 * MIB;

/**
 * Spans as the native StreamIndexer hands them over (native/core/span_index.h). Little-endian, 104 bytes each:
 *
 *      0  u64 data offset    8  u64 data length    16  u64 blob offset    24  u64 blob length
 *     32  u64 inner offset  40  sha256 of the data 72  sha256 of the range of the blob
 */
const RECORD_SIZE = 104;

/** One span of a stream. Offsets and lengths in bytes; blob and inner offset mean what they mean in a unit table. */
export interface IndexedSpan {
  readonly dataOffset: number;
  /** 0 only for the last span, which then is no unit. */
  readonly dataLength: number;
  /** Where the span can be decoded from; begins with the byte that a gzip span shares with the one before it. */
  readonly blobOffset: number;
  /** Of zstd, spans that begin inside a frame have the range of all that share its start. */
  readonly blobLength: number;
  /** gzip: how many high bits of the first byte belong to the span (0: all). zstd: decoded bytes before it. */
  readonly innerOffset: number;
  readonly dataSha256: Buffer;
  readonly blobSha256: Buffer;
}

export function readSpans(records: Buffer): IndexedSpan[] {
  assert(records.length % RECORD_SIZE === 0, "spans are whole records");
  return Array.from({ length: records.length / RECORD_SIZE }, (_, index): IndexedSpan => {
    const at = index * RECORD_SIZE;
    const number = (field: number): number => Number(records.readBigUInt64LE(at + field));
    return {
      dataOffset: number(0),
      dataLength: number(8),
      blobOffset: number(16),
      blobLength: number(24),
      innerOffset: number(32),
      dataSha256: records.subarray(at + 40, at + 72),
      blobSha256: records.subarray(at + 72, at + 104),
    };
  });
}

export interface SpanUnits {
  readonly units: Unit[];
  /** What encodeUnitTable() and the plane want beside them. */
  readonly windows: Buffer;
  /** The units lie in what the stream decodes to, not in the stream: the plane could not decode them again. */
  readonly isDecoded: boolean;
}

/**
 * The spans of a gzip stream (with its windows), of zstd or of a raw one as units whose digests are of the data.
 *
 * Where a frame of zstd goes on behind 256 MiB they are units of what it decodes to.
 *
 * @throws RESOURCE_EXHAUSTED `span-too-large` where a gzip stream has no border of a block for 64 MiB
 */
export function unitsOfSpans(options: {
  readonly codec: "gzip" | "zstd" | "raw";
  readonly spans: readonly IndexedSpan[];
  readonly windows: Buffer;
}): SpanUnits {
  const { codec, spans, windows } = options;
  const unitCodec: UnitCodec = codec === "gzip" ? "deflateSpan" : codec;
  for (const span of spans) checkSpan(span);
  if (codec === "zstd" && spans.some(isTooDeep)) return decodedUnits(spans);
  const units = spans
    .filter(({ dataLength }) => dataLength > 0)
    .map(
      ({ dataOffset, dataLength, blobOffset, blobLength, innerOffset, dataSha256 }): Unit => ({
        dataOffset,
        dataLength,
        blobOffset,
        blobLength,
        innerOffset,
        sha256: dataSha256,
        codec: unitCodec,
      }),
    );
  const windowsSize = codec === "gzip" ? units.length * WINDOW_SIZE : 0;
  return { units, windows: windows.subarray(0, windowsSize), isDecoded: false };
}

function isTooDeep({ dataLength, innerOffset }: IndexedSpan): boolean {
  return innerOffset + dataLength > STREAM_BYTES_MAX;
}

function decodedUnits(spans: readonly IndexedSpan[]): SpanUnits {
  const units = spans
    .filter(({ dataLength }) => dataLength > 0)
    .map(
      ({ dataOffset, dataLength, dataSha256 }): Unit => ({
        dataOffset,
        dataLength,
        blobOffset: dataOffset,
        blobLength: dataLength,
        innerOffset: 0,
        sha256: dataSha256,
        codec: "raw",
      }),
    );
  return { units, windows: Buffer.alloc(0), isDecoded: true };
}

function checkSpan({ dataLength }: IndexedSpan): void {
  if (dataLength > UNIT_BYTES_MAX) {
    throw resourceExhausted(
      `Cannot index stream: want at most ${UNIT_BYTES_MAX} bytes in a span, got ${dataLength}`,
      { reason: "span-too-large" },
    );
  }
}
