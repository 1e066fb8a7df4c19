import { type ByteString, bytesOfText } from "../bytes/index.js";
import { BLOCK_BYTES } from "./limits.js";
import { type NumberPlace, numericField, safeField } from "./numbers.js";
import { refuseTar } from "./refusal.js";

export type TarFormat = "v7" | "ustar" | "gnu" | "star";

/** One header block, before anything that extension headers say. */
export interface HeaderBlock {
  readonly format: TarFormat;
  readonly typeFlag: string;
  readonly name: ByteString;
  readonly linkName: ByteString;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly mtimeSeconds: bigint;
  readonly userName: ByteString;
  readonly groupName: ByteString;
  readonly devMajor: number;
  readonly devMinor: number;
}

const CHECKSUM_AT = 148;
const CHECKSUM_END = 156;
const SPACE = 0x20;
const NOTHING = bytesOfText("");

export function isZeroBlock(block: Buffer): boolean {
  for (let at = 0; at < BLOCK_BYTES; at++) if (block[at] !== 0) return false;
  return true;
}

/**
 * Reads the fixed fields of a header of any format. Even fields that its type has no use for must be numbers, as for
 * Go's reader.
 * @throws INVALID_ARGUMENT `tar-checksum`, `tar-number`
 */
export function parseHeaderBlock(block: Buffer, offset: number): HeaderBlock {
  checkSum(block, offset);
  const format = formatOf(block);
  const place = (field: string): NumberPlace => ({ field, offset });
  const isExtended = format !== "v7";
  const name = stringField(block, 0, 100);
  const prefix = isExtended ? prefixOf(block, format, offset) : "";
  return {
    format,
    typeFlag: String.fromCharCode(block[156]!),
    name: prefix === "" ? name : (`${prefix}/${name}` as ByteString),
    linkName: stringField(block, 157, 100),
    mode: Number(BigInt.asUintN(12, BigInt(numericField(block.subarray(100, 108), place("mode"))))),
    uid: safeField(block.subarray(108, 116), place("uid")),
    gid: safeField(block.subarray(116, 124), place("gid")),
    size: safeField(block.subarray(124, 136), place("size")),
    mtimeSeconds: BigInt(numericField(block.subarray(136, 148), place("mtime"))),
    userName: isExtended ? stringField(block, 265, 32) : NOTHING,
    groupName: isExtended ? stringField(block, 297, 32) : NOTHING,
    devMajor: isExtended ? safeField(block.subarray(329, 337), place("devmajor")) : 0,
    devMinor: isExtended ? safeField(block.subarray(337, 345), place("devminor")) : 0,
  };
}

/** Up to the first NUL. */
export function stringField(block: Buffer, start: number, length: number): ByteString {
  let end = start;
  while (end < start + length && block[end] !== 0) end += 1;
  return end === start ? NOTHING : (block.toString("latin1", start, end) as ByteString);
}

function formatOf(block: Buffer): TarFormat {
  const magic = block.toString("latin1", 257, 263);
  if (magic === "ustar\0") return block.toString("latin1", 508, 512) === "tar\0" ? "star" : "ustar";
  return magic === "ustar " && block.toString("latin1", 263, 265) === " \0" ? "gnu" : "v7";
}

function prefixOf(block: Buffer, format: TarFormat, offset: number): string {
  if (format === "ustar") return stringField(block, 345, 155);
  if (format === "star") {
    numericField(block.subarray(476, 488), { field: "atime", offset });
    numericField(block.subarray(488, 500), { field: "ctime", offset });
    return stringField(block, 345, 131);
  }
  return hasGnuTimes(block, offset) ? "" : asciiOrNothing(stringField(block, 345, 155));
}

/**
 * Old GNU headers have times where ustar has the prefix of the name. Archives of Go before 1.8 have the prefix there
 * nevertheless; what can't be a time is taken for one, as today's Go does.
 */
function hasGnuTimes(block: Buffer, offset: number): boolean {
  try {
    for (const start of [345, 357]) {
      if (block[start] !== 0) numericField(block.subarray(start, start + 12), { field: "time", offset });
    }
    return true;
  } catch {
    // The one thing that numericField() throws: it is no number.
    return false;
  }
}

function asciiOrNothing(text: string): string {
  for (let at = 0; at < text.length; at++) if (text.charCodeAt(at) > 0x7f) return "";
  return text;
}

/** POSIX adds unsigned bytes, old Sun and GNU archives signed ones. */
function checkSum(block: Buffer, offset: number): void {
  let sum = 0;
  let high = 0;
  for (let at = 0; at < BLOCK_BYTES; at++) {
    const byte = block[at]!;
    sum += byte;
    if (byte > 0x7f) high += 1;
  }
  for (let at = CHECKSUM_AT; at < CHECKSUM_END; at++) {
    const byte = block[at]!;
    sum += SPACE - byte;
    if (byte > 0x7f) high -= 1;
  }
  let wanted: number | bigint;
  try {
    wanted = octalOnly(block.subarray(CHECKSUM_AT, CHECKSUM_END), offset);
  } catch (error) {
    throw refuseTar("tar-checksum", `the checksum is no number: ${(error as Error).message}`, offset);
  }
  if (wanted !== sum && wanted !== sum - 256 * high) {
    throw refuseTar("tar-checksum", `want a checksum of ${sum}, got ${wanted}`, offset);
  }
}

function octalOnly(field: Buffer, offset: number): number | bigint {
  const value = numericField(field, { field: "checksum", offset });
  // Base-256 is for numbers that have grown out of octal, which a checksum can't.
  return typeof value === "number" ? value : -1;
}
