import { crc32 } from "node:zlib";
import { dataLoss } from "../errors/index.js";
import type { KeyParts } from "./key.js";

/**
 * A value on disk: byte 0 the version of this layout, bytes 1 to 4 the CRC-32 (little-endian) of the rest, then JSON
 * in UTF-8. LMDB trusts its file, so a value that a disk or a program damaged is found here.
 */
const RECORD_VERSION = 1;
const HEADER_BYTES = 5;

export type JsonValue =
  | string
  | number
  | boolean
  | null
  | readonly JsonValue[]
  | { readonly [key: string]: JsonValue | undefined };

export function encodeRecord(value: JsonValue): Buffer {
  const body = Buffer.from(JSON.stringify(value), "utf8");
  const record = Buffer.allocUnsafe(HEADER_BYTES + body.length);
  record[0] = RECORD_VERSION;
  record.writeUInt32LE(crc32(body), 1);
  body.copy(record, HEADER_BYTES);
  return record;
}

/** @throws DATA_LOSS when the bytes are not what was written */
export function decodeRecord(record: Buffer, table: string, key: KeyParts): JsonValue {
  if (!isRight(record)) {
    const subject = `${table} ${key.join(" ")}`;
    throw dataLoss(
      `Cannot read the metadata of ${subject}: want version ${RECORD_VERSION} and a right checksum, got ${record.length} other bytes`,
      {
        subject,
        reason: "metadata-damaged",
        hint: "The disk or another program changed the metadata: stop lazuli, move the metadata folder away and pull the images again",
      },
    );
  }
  return JSON.parse(record.toString("utf8", HEADER_BYTES)) as JsonValue;
}

function isRight(record: Buffer): boolean {
  const length = record.length - HEADER_BYTES;
  if (length <= 0 || record[0] !== RECORD_VERSION) return false;
  // Not subarray(): collections read a million of these, and a Buffer costs more to make.
  const body = new Uint8Array(record.buffer, record.byteOffset + HEADER_BYTES, length);
  return record.readUInt32LE(1) === crc32(body);
}
