import { createHash } from "node:crypto";

/**
 * SHA-256 of what was decoded, for units whose index has only a digest of the blob's bytes:
 *
 *      0  "lzlisums"    8  u32 version = 1   12  u32 zero   16  sha256 that ends the unit table
 *     48  32 bytes a unit, zeros where unknown
 *     trailer: sha256 of all that stands before it
 */
const MAGIC = Buffer.from("lzlisums", "latin1");
const VERSION = 1;
const HEADER_SIZE = 48;
const SUM_SIZE = 32;

export interface SumsFacts {
  readonly units: number;
  /** The last 32 bytes of the unit table. */
  readonly tableSha256: Uint8Array;
}

export function encodeSums(sums: Uint8Array, facts: SumsFacts): Buffer {
  const header = Buffer.alloc(HEADER_SIZE);
  MAGIC.copy(header);
  header.writeUInt32LE(VERSION, 8);
  header.set(facts.tableSha256, 16);
  const body = Buffer.concat([header, sums]);
  return Buffer.concat([body, createHash("sha256").update(body).digest()]);
}

/** The sums, or undefined when the file is damaged or about other units: then none is known. */
export function decodeSums(buffer: Buffer, facts: SumsFacts): Buffer | undefined {
  const bodySize = HEADER_SIZE + facts.units * SUM_SIZE;
  if (buffer.length !== bodySize + SUM_SIZE) return undefined;
  const body = buffer.subarray(0, bodySize);
  const isSound =
    body.subarray(0, 8).equals(MAGIC) &&
    body.readUInt32LE(8) === VERSION &&
    body.subarray(16, HEADER_SIZE).equals(facts.tableSha256) &&
    createHash("sha256").update(body).digest().equals(buffer.subarray(bodySize));
  return isSound ? body.subarray(HEADER_SIZE) : undefined;
}

export function isSumKnown(sums: Buffer, unit: number): boolean {
  return sums.subarray(unit * SUM_SIZE, (unit + 1) * SUM_SIZE).some((byte) => byte !== 0);
}
