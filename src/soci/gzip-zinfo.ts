import { assert } from "../errors/index.js";
import { DATA_BYTES_MAX, SPANS_MAX, WINDOW_BYTES } from "./limits.js";
import { refuseZtoc, refuseZtocSize } from "./refusal.js";

/**
 * Checkpoints of a gzip stream as SOCI keeps them (gzip_zinfo.h). Little-endian, packed:
 *
 *     header, 12 bytes      i32 count, i64 span size
 *     checkpoint, 32,785    i64 offset in the blob, i64 offset in the tar, u8 bits, window of 32,768 bytes
 *
 * Only the length tells the version: version 1 leaves out the first checkpoint and means one behind a header of ten
 * bytes.
 */
const HEADER_BYTES = 12;
const CHECKPOINT_BYTES = 17 + WINDOW_BYTES;
const FIRST_BLOB_OFFSET = 10;

export interface Checkpoint {
  /** The first whole byte in the blob that belongs to the span. */
  readonly blobOffset: number;
  /** Where the span begins in the tar. */
  readonly dataOffset: number;
  /** How many of the high bits of the byte before `blobOffset` belong to the span. */
  readonly bits: number;
  /** The 32 KiB of the tar before the span; where it has less, they stand at the end, behind zeros. */
  readonly window: Uint8Array;
}

export interface GzipZinfo {
  readonly version: 1 | 2;
  /** What its writer aimed at: spans are a block longer, or as short as the stream. */
  readonly spanSize: number;
  readonly checkpoints: readonly Checkpoint[];
}

/** Reads the checkpoints; what they say is checked by layOutSpans(). @throws as readZtoc() */
export function readGzipZinfo(bytes: Buffer): GzipZinfo {
  if (bytes.length < HEADER_BYTES) throw refuseZtoc("zinfo-malformed", "the checkpoints are cut off");
  const count = bytes.readInt32LE(0);
  if (count < 1) throw refuseZtoc("zinfo-malformed", `want a checkpoint, got ${count}`);
  if (count > SPANS_MAX)
    throw refuseZtocSize("ztoc-too-many-spans", `want at most ${SPANS_MAX}, got ${count}`);
  const version = versionOf(bytes.length, count);
  const spanSize = numberAt(bytes, 4);
  const first = version === 1 ? [impliedCheckpoint()] : [];
  const checkpoints = Array.from({ length: count - first.length }, (_, index): Checkpoint => {
    const at = HEADER_BYTES + index * CHECKPOINT_BYTES;
    return {
      blobOffset: numberAt(bytes, at),
      dataOffset: numberAt(bytes, at + 8),
      bits: bytes[at + 16]!,
      window: bytes.subarray(at + 17, at + CHECKPOINT_BYTES),
    };
  });
  return { version, spanSize, checkpoints: [...first, ...checkpoints] };
}

export function encodeGzipZinfo(zinfo: GzipZinfo): Buffer {
  const { version, checkpoints } = zinfo;
  const written = version === 1 ? checkpoints.slice(1) : checkpoints;
  const bytes = Buffer.alloc(HEADER_BYTES + written.length * CHECKPOINT_BYTES);
  bytes.writeInt32LE(checkpoints.length);
  bytes.writeBigInt64LE(BigInt(zinfo.spanSize), 4);
  for (const [index, { blobOffset, dataOffset, bits, window }] of written.entries()) {
    assert(window.length === WINDOW_BYTES, "a window has 32 KiB");
    const at = HEADER_BYTES + index * CHECKPOINT_BYTES;
    bytes.writeBigInt64LE(BigInt(blobOffset), at);
    bytes.writeBigInt64LE(BigInt(dataOffset), at + 8);
    bytes[at + 16] = bits;
    bytes.set(window, at + 17);
  }
  return bytes;
}

function versionOf(length: number, count: number): 1 | 2 {
  // At most SPANS_MAX times 32,785: a double holds it exactly.
  if (length === HEADER_BYTES + count * CHECKPOINT_BYTES) return 2;
  if (length === HEADER_BYTES + (count - 1) * CHECKPOINT_BYTES) return 1;
  throw refuseZtoc("zinfo-malformed", `${length} bytes are not those of ${count} checkpoints`);
}

function impliedCheckpoint(): Checkpoint {
  return { blobOffset: FIRST_BLOB_OFFSET, dataOffset: 0, bits: 0, window: Buffer.alloc(WINDOW_BYTES) };
}

function numberAt(bytes: Buffer, at: number): number {
  const value = bytes.readBigInt64LE(at);
  if (value >= 0n && value <= BigInt(DATA_BYTES_MAX)) return Number(value);
  throw refuseZtoc("zinfo-range", `want 0 to ${DATA_BYTES_MAX} for a number of a checkpoint, got ${value}`);
}
