import { createHash } from "node:crypto";
import { assert, dataLoss } from "../errors/index.js";

/**
 * The data map of a layer: for each unit of the data file, where its bytes lie in the compressed blob, how to decode
 * them, and the digest they must have. One flat buffer, shared by TypeScript and C++ (native/core/unit_table.h) and
 * written to disk as it is. Little-endian.
 *
 *     header, 64 bytes
 *       0  "lzliunit"        8  u32 version = 1       12  u32 record size = 80
 *      16  u64 count        24  u64 data file size    32  u64 blob size       40  u32 block size   44  zeros
 *     record, 80 bytes, sorted by data offset, which is also the order in the blob
 *       0  u64 data offset   8  u64 data length       16  u64 blob offset     24  u64 blob length
 *      32  u64 inner offset 40  sha256 (32 bytes)     72  u8 codec            73  zeros
 *     trailer: sha256 of all that stands before it, 32 bytes
 *
 * A unit is decoded from blob[blob offset, + blob length): skip `inner offset` decoded bytes, take `data length`.
 * Units with the same blob offset share one compressed stream, stand next to each other, and have the same blob
 * length. What a stream holds behind its last unit is ignored. Units do not overlap; gaps between them read as zeros.
 */
export const UNIT_HEADER_SIZE = 64;
export const UNIT_RECORD_SIZE = 80;
export const UNIT_TRAILER_SIZE = 32;
export const UNIT_TABLE_VERSION = 1;

const MAGIC = Buffer.from("lzliunit", "latin1");

export const unitCodecs = { raw: 0, gzip: 1, zstd: 2 } as const;
export type UnitCodec = keyof typeof unitCodecs;

/** One unit, as the formats hand it over. Offsets and lengths in bytes. */
export interface Unit {
  readonly dataOffset: number;
  readonly dataLength: number;
  readonly blobOffset: number;
  readonly blobLength: number;
  readonly innerOffset: number;
  readonly sha256: Uint8Array;
  readonly codec: UnitCodec;
}

export interface UnitTableFacts {
  readonly dataSize: number;
  readonly blobSize: number;
  readonly blockSize: number;
}

/** Read access to a unit table; checks the whole buffer once when it is made. */
export class UnitTable {
  readonly buffer: Buffer;
  readonly count: number;
  readonly dataSize: number;
  readonly blobSize: number;
  readonly blockSize: number;

  /** @throws DATA_LOSS when the buffer is not a whole, intact table */
  constructor(buffer: Buffer) {
    const damaged = (what: string): Error =>
      dataLoss(`Cannot use unit table: ${what}`, { reason: "unit-table-damaged" });
    if (buffer.length < UNIT_HEADER_SIZE + UNIT_TRAILER_SIZE) throw damaged("it is too short");
    if (!buffer.subarray(0, 8).equals(MAGIC)) throw damaged("the magic is wrong");
    if (buffer.readUInt32LE(8) !== UNIT_TABLE_VERSION) throw damaged("the version is unknown");
    const body = buffer.subarray(0, buffer.length - UNIT_TRAILER_SIZE);
    const trailer = buffer.subarray(body.length);
    if (!createHash("sha256").update(body).digest().equals(trailer)) throw damaged("the checksum is wrong");
    this.buffer = buffer;
    this.count = Number(buffer.readBigUInt64LE(16));
    this.dataSize = Number(buffer.readBigUInt64LE(24));
    this.blobSize = Number(buffer.readBigUInt64LE(32));
    this.blockSize = buffer.readUInt32LE(40);
    if (body.length !== UNIT_HEADER_SIZE + this.count * UNIT_RECORD_SIZE) throw damaged("the count is wrong");
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

  #number(unit: number, field: number): number {
    assert(unit >= 0 && unit < this.count, `unit ${unit} of ${this.count}`);
    return Number(this.buffer.readBigUInt64LE(UNIT_HEADER_SIZE + unit * UNIT_RECORD_SIZE + field));
  }
}

/** Writes a table. The units must already be in order and within their bounds: formats check strangers' numbers. */
export function encodeUnitTable(units: readonly Unit[], facts: UnitTableFacts): UnitTable {
  const buffer = Buffer.alloc(UNIT_HEADER_SIZE + units.length * UNIT_RECORD_SIZE + UNIT_TRAILER_SIZE);
  MAGIC.copy(buffer, 0);
  buffer.writeUInt32LE(UNIT_TABLE_VERSION, 8);
  buffer.writeUInt32LE(UNIT_RECORD_SIZE, 12);
  buffer.writeBigUInt64LE(BigInt(units.length), 16);
  buffer.writeBigUInt64LE(BigInt(facts.dataSize), 24);
  buffer.writeBigUInt64LE(BigInt(facts.blobSize), 32);
  buffer.writeUInt32LE(facts.blockSize, 40);
  let at = UNIT_HEADER_SIZE;
  let dataEnd = 0;
  let blobStart = 0;
  for (const unit of units) {
    assert(unit.dataOffset >= dataEnd && unit.dataLength > 0, "units are sorted by data offset and disjoint");
    assert(unit.blobOffset >= blobStart, "units are in the order of the blob");
    assert(unit.blobOffset + unit.blobLength <= facts.blobSize, "a unit lies inside the blob");
    assert(unit.sha256.length === 32, "a unit has a sha256");
    dataEnd = unit.dataOffset + unit.dataLength;
    blobStart = unit.blobOffset;
    buffer.writeBigUInt64LE(BigInt(unit.dataOffset), at);
    buffer.writeBigUInt64LE(BigInt(unit.dataLength), at + 8);
    buffer.writeBigUInt64LE(BigInt(unit.blobOffset), at + 16);
    buffer.writeBigUInt64LE(BigInt(unit.blobLength), at + 24);
    buffer.writeBigUInt64LE(BigInt(unit.innerOffset), at + 32);
    buffer.set(unit.sha256, at + 40);
    buffer.writeUInt8(unitCodecs[unit.codec], at + 72);
    at += UNIT_RECORD_SIZE;
  }
  assert(dataEnd <= facts.dataSize, "the units lie inside the data file");
  createHash("sha256").update(buffer.subarray(0, at)).digest().copy(buffer, at);
  return new UnitTable(buffer);
}
