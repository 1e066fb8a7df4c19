import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";
import { assert, dataLoss } from "../errors/index.js";

/**
 * The data map of a layer: for each unit of the data file, where its bytes lie in the compressed blob, how to decode
 * them, and the digest they must have. One flat buffer, shared by TypeScript and C++ (native/core/unit_table.h) and
 * written to disk as it is. Little-endian.
 *
 *     header, 64 bytes
 *       0  "lzliunit"        8  u32 version = 2       12  u32 record size = 80
 *      16  u64 count        24  u64 data file size    32  u64 blob size       40  u32 block size   44  zeros
 *     record, 80 bytes, sorted by data offset, which is also the order in the blob
 *       0  u64 data offset   8  u64 data length       16  u64 blob offset     24  u64 blob length
 *      32  u64 inner offset 40  sha256 (32 bytes)     72  u8 codec            73  u8 what the sha256 is of
 *      74  u8 bits of a deflateLeaf, else zero            75  zero
 *      76  u32 CRC-32 of the window of a deflateSpan or deflateLeaf, else zero
 *     trailer: sha256 of all that stands before it, 32 bytes
 *
 * A unit is decoded from blob[blob offset, + blob length): skip `inner offset` decoded bytes, take `data length`.
 * Units with the same blob offset share one compressed stream, stand next to each other, and have the same blob
 * length. What a stream holds behind its last unit is ignored. Units do not overlap; gaps between them read as zeros.
 *
 * Of a deflateSpan, `inner offset` is another thing: how many of the high bits of its first byte belong to it (0: the
 * whole byte does). It is raw deflate from a block's first bit on, needs the 32 KiB of output before it (its window,
 * which is kept beside the table), and may go on through members of gzip. It shares its stream with no other unit, but
 * its last byte may be the first of the next. A table with such units has no others.
 *
 * A deflateLeaf is a part of such a span, which it may share with others: its `inner offset` is what it is of other
 * codecs, and how many bits of the first byte belong to the span stands apart. The window of a span is that of its first
 * leaf; those of the others are never read, and the file that keeps windows has a hole in their place.
 *
 * The sha256 is of the decoded bytes (0), or of the unit's range of the blob (1), which then is no other unit's.
 * Version 1 has neither: its bytes 73 to 79 are zeros. It is still read.
 */
export const UNIT_HEADER_SIZE = 64;
export const UNIT_RECORD_SIZE = 80;
export const UNIT_TRAILER_SIZE = 32;
export const UNIT_TABLE_VERSION = 2;
/** What a deflate stream may refer back to. */
export const WINDOW_SIZE = 32_768;

const FIRST_VERSION = 1;

const MAGIC = Buffer.from("lzliunit", "latin1");

export const unitCodecs = { raw: 0, gzip: 1, zstd: 2, deflateSpan: 3, deflateLeaf: 4 } as const;
export type UnitCodec = keyof typeof unitCodecs;

export const digestKinds = { data: 0, blob: 1 } as const;
export type DigestOf = keyof typeof digestKinds;

const codecNames = Object.keys(unitCodecs) as readonly UnitCodec[];

/** One unit, as the formats hand it over. Offsets and lengths in bytes. */
export interface Unit {
  readonly dataOffset: number;
  readonly dataLength: number;
  readonly blobOffset: number;
  readonly blobLength: number;
  /** Decoded bytes before the unit; of a deflateSpan its bits. */
  readonly innerOffset: number;
  readonly sha256: Uint8Array;
  readonly codec: UnitCodec;
  /** "data" unless given. */
  readonly digestOf?: DigestOf;
  /** Of a deflateLeaf, which must have it: where its span begins, and the CRC-32 of its span's window. */
  readonly span?: { readonly bits: number; readonly windowCrc: number };
}

export interface UnitTableFacts {
  readonly dataSize: number;
  readonly blobSize: number;
  readonly blockSize: number;
  /** What the units of codec deflateSpan refer back to, WINDOW_SIZE each, in their order. */
  readonly windows?: Uint8Array;
}

/** Whether units are inflated with what stands before their span. */
function needsWindow(codec: UnitCodec): boolean {
  return codec === "deflateSpan" || codec === "deflateLeaf";
}

/** Read access to a unit table; checks the whole buffer once when it is made. */
export class UnitTable {
  readonly buffer: Buffer;
  readonly count: number;
  readonly dataSize: number;
  readonly blobSize: number;
  readonly blockSize: number;
  /** Windows that belong to the table: one for each unit, or none. Of units that share a span only the first one's is read. */
  readonly windowCount: number;
  /** Some unit's digest says nothing of what is on disk: NativePlane.sums() does, and has to be kept. */
  readonly needsSums: boolean;

  /** @throws DATA_LOSS when the buffer is not a whole, intact table */
  constructor(buffer: Buffer) {
    const damaged = (what: string): Error =>
      dataLoss(`Cannot use unit table: ${what}`, { reason: "unit-table-damaged" });
    if (buffer.length < UNIT_HEADER_SIZE + UNIT_TRAILER_SIZE) throw damaged("it is too short");
    if (!buffer.subarray(0, 8).equals(MAGIC)) throw damaged("the magic is wrong");
    const version = buffer.readUInt32LE(8);
    if (version < FIRST_VERSION || version > UNIT_TABLE_VERSION) throw damaged("the version is unknown");
    const body = buffer.subarray(0, buffer.length - UNIT_TRAILER_SIZE);
    const trailer = buffer.subarray(body.length);
    if (!createHash("sha256").update(body).digest().equals(trailer)) throw damaged("the checksum is wrong");
    this.buffer = buffer;
    this.count = Number(buffer.readBigUInt64LE(16));
    this.dataSize = Number(buffer.readBigUInt64LE(24));
    this.blobSize = Number(buffer.readBigUInt64LE(32));
    this.blockSize = buffer.readUInt32LE(40);
    if (body.length !== UNIT_HEADER_SIZE + this.count * UNIT_RECORD_SIZE) throw damaged("the count is wrong");
    this.windowCount = this.count > 0 && needsWindow(this.codec(0)) ? this.count : 0;
    this.needsSums = this.#hasUnitThatNeedsSum();
  }

  dataOffset(unit: number): number {
    return this.#number(unit, 0);
  }

  dataLength(unit: number): number {
    return this.#number(unit, 8);
  }

  blobOffset(unit: number): number {
    return this.#number(unit, 16);
  }

  blobLength(unit: number): number {
    return this.#number(unit, 24);
  }

  blobEnd(unit: number): number {
    return this.blobOffset(unit) + this.blobLength(unit);
  }

  /** Decoded bytes before the unit in its stream, or the bits of a deflateSpan. */
  innerOffset(unit: number): number {
    return this.#number(unit, 32);
  }

  sha256(unit: number): Uint8Array {
    const at = this.#place(unit) + 40;
    return this.buffer.subarray(at, at + 32);
  }

  codec(unit: number): UnitCodec {
    return codecNames[this.buffer[this.#place(unit) + 72]!]!;
  }

  digestOf(unit: number): DigestOf {
    return this.buffer[this.#place(unit) + 73] === digestKinds.blob ? "blob" : "data";
  }

  /** The first and last unit that share the stream of `unit`. */
  streamOf(unit: number): { readonly first: number; readonly last: number } {
    const start = this.blobOffset(unit);
    let first = unit;
    while (first > 0 && this.blobOffset(first - 1) === start) first -= 1;
    let last = unit;
    while (last + 1 < this.count && this.blobOffset(last + 1) === start) last += 1;
    return { first, last };
  }

  /** The first unit whose blob offset is at least `offset`; `count` if there is none. */
  firstAtBlobOffset(offset: number): number {
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.blobOffset(middle) < offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #hasUnitThatNeedsSum(): boolean {
    for (let unit = 0; unit < this.count; unit += 1) {
      if (this.digestOf(unit) === "blob" && !this.#isWholeAndRaw(unit)) return true;
    }
    return false;
  }

  /** Then the digest of its range of the blob is that of its bytes. */
  #isWholeAndRaw(unit: number): boolean {
    return this.codec(unit) === "raw" && this.dataLength(unit) === this.blobLength(unit);
  }

  #number(unit: number, field: number): number {
    return Number(this.buffer.readBigUInt64LE(this.#place(unit) + field));
  }

  #place(unit: number): number {
    assert(unit >= 0 && unit < this.count, `unit ${unit} of ${this.count}`);
    return UNIT_HEADER_SIZE + unit * UNIT_RECORD_SIZE;
  }
}

/** Writes a table. The units must already be in order and within their bounds: formats check strangers' numbers. */
export function encodeUnitTable(units: readonly Unit[], facts: UnitTableFacts): UnitTable {
  const buffer = Buffer.alloc(UNIT_HEADER_SIZE + units.length * UNIT_RECORD_SIZE + UNIT_TRAILER_SIZE);
  writeHeader(buffer, { ...facts, count: units.length });
  const spans = units.filter(({ codec }) => codec === "deflateSpan").length;
  const leaves = units.filter(({ codec }) => codec === "deflateLeaf").length;
  const isMixed = spans + leaves > 0 && spans !== units.length && leaves !== units.length;
  assert(!isMixed, "a table with spans of deflate has nothing else");
  const windows = facts.windows ?? Buffer.alloc(0);
  assert(windows.length === spans * WINDOW_SIZE, "each span has a window");
  let at = UNIT_HEADER_SIZE;
  let before: Unit | undefined;
  for (const [index, unit] of units.entries()) {
    checkUnit(unit, before, facts);
    writeRecord(buffer, at, unit);
    if (spans > 0) {
      const window = windows.subarray(index * WINDOW_SIZE, (index + 1) * WINDOW_SIZE);
      buffer.writeUInt32LE(crc32(window), at + 76);
    }
    before = unit;
    at += UNIT_RECORD_SIZE;
  }
  createHash("sha256").update(buffer.subarray(0, at)).digest().copy(buffer, at);
  return new UnitTable(buffer);
}

function writeHeader(buffer: Buffer, facts: UnitTableFacts & { readonly count: number }): void {
  MAGIC.copy(buffer, 0);
  buffer.writeUInt32LE(UNIT_TABLE_VERSION, 8);
  buffer.writeUInt32LE(UNIT_RECORD_SIZE, 12);
  buffer.writeBigUInt64LE(BigInt(facts.count), 16);
  buffer.writeBigUInt64LE(BigInt(facts.dataSize), 24);
  buffer.writeBigUInt64LE(BigInt(facts.blobSize), 32);
  buffer.writeUInt32LE(facts.blockSize, 40);
}

function checkUnit(unit: Unit, before: Unit | undefined, facts: UnitTableFacts): void {
  const dataEnd = before === undefined ? 0 : before.dataOffset + before.dataLength;
  const blobStart = before?.blobOffset ?? 0;
  const isSpan = unit.codec === "deflateSpan";
  assert(
    (unit.codec === "deflateLeaf") === (unit.span !== undefined),
    "a leaf tells of its span, others have none",
  );
  assert(unit.dataOffset >= dataEnd && unit.dataLength > 0, "units are sorted by data offset and disjoint");
  assert(unit.dataOffset + unit.dataLength <= facts.dataSize, "the units lie inside the data file");
  assert(unit.blobOffset >= blobStart, "units are in the order of the blob");
  assert(unit.blobOffset + unit.blobLength <= facts.blobSize, "a unit lies inside the blob");
  assert(unit.sha256.length === 32, "a unit has a sha256");
  assert(!isSpan || unit.innerOffset <= 7, "a span begins inside a byte");
  const isAlone = before === undefined || unit.blobOffset > blobStart;
  assert(
    isAlone || (!isSpan && unit.digestOf !== "blob"),
    "only a unit alone in its stream has a digest of it",
  );
}

function writeRecord(buffer: Buffer, at: number, unit: Unit): void {
  buffer.writeBigUInt64LE(BigInt(unit.dataOffset), at);
  buffer.writeBigUInt64LE(BigInt(unit.dataLength), at + 8);
  buffer.writeBigUInt64LE(BigInt(unit.blobOffset), at + 16);
  buffer.writeBigUInt64LE(BigInt(unit.blobLength), at + 24);
  buffer.writeBigUInt64LE(BigInt(unit.innerOffset), at + 32);
  buffer.set(unit.sha256, at + 40);
  buffer.writeUInt8(unitCodecs[unit.codec], at + 72);
  buffer.writeUInt8(digestKinds[unit.digestOf ?? "data"], at + 73);
  if (unit.span === undefined) return;
  buffer.writeUInt8(unit.span.bits, at + 74);
  buffer.writeUInt32LE(unit.span.windowCrc, at + 76);
}
