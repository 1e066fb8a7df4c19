import { createHash } from "node:crypto";
import { BitSet, byteLength } from "./bit-set.js";

/**
 * Which units are in the data file and were synced. Little-endian:
 *
 *      0  "lzlibits"    8  u32 version = 1   12  u32 zero   16  u64 units
 *     24  sha256 that ends the unit table: the bits mean these units and no others
 *     56  zeros         64  bits, least significant first
 *     trailer: sha256 of all that stands before it
 */
const MAGIC = Buffer.from("lzlibits", "latin1");
const VERSION = 1;
const HEADER_SIZE = 64;
const TRAILER_SIZE = 32;

export interface BitmapFacts {
  readonly units: number;
  /** The last 32 bytes of the unit table. */
  readonly tableSha256: Uint8Array;
}

export function encodeBitmap(bits: Uint8Array, facts: BitmapFacts): Buffer {
  const bitsSize = byteLength(facts.units);
  const buffer = Buffer.alloc(HEADER_SIZE + bitsSize + TRAILER_SIZE);
  MAGIC.copy(buffer);
  buffer.writeUInt32LE(VERSION, 8);
  buffer.writeBigUInt64LE(BigInt(facts.units), 16);
  buffer.set(facts.tableSha256, 24);
  buffer.set(bits.subarray(0, bitsSize), HEADER_SIZE);
  checksum(buffer).copy(buffer, buffer.length - TRAILER_SIZE);
  return buffer;
}

/** The bits, or undefined when the file is damaged or about other units: then nothing is known to be on disk. */
export function decodeBitmap(buffer: Buffer, facts: BitmapFacts): BitSet | undefined {
  const bitsSize = byteLength(facts.units);
  const isWhole =
    buffer.length === HEADER_SIZE + bitsSize + TRAILER_SIZE &&
    buffer.subarray(0, 8).equals(MAGIC) &&
    buffer.readUInt32LE(8) === VERSION &&
    buffer.readBigUInt64LE(16) === BigInt(facts.units) &&
    buffer.subarray(24, 56).equals(facts.tableSha256) &&
    checksum(buffer).equals(buffer.subarray(buffer.length - TRAILER_SIZE));
  if (!isWhole) return undefined;
  return new BitSet(facts.units, new Uint8Array(buffer.subarray(HEADER_SIZE, HEADER_SIZE + bitsSize)));
}

function checksum(buffer: Buffer): Buffer {
  return createHash("sha256")
    .update(buffer.subarray(0, buffer.length - TRAILER_SIZE))
    .digest();
}
