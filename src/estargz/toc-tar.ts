import { invalidArgument, type LazuliError } from "../errors/index.js";

/** The name that the TOC has in its tar. */
export const TOC_NAME = "stargz.index.json";

const BLOCK = 512;
const CHECKSUM_AT = 148;
const CHECKSUM_LENGTH = 8;

/**
 * Takes the TOC's JSON out of its tar: one plain file header, the content, and nothing but zeros behind it.
 * @throws INVALID_ARGUMENT with reason `toc-tar-malformed`
 */
export function tocOfTar(tar: Buffer): Buffer {
  if (tar.length < BLOCK) throw malformed(`want a header of ${BLOCK} bytes, got ${tar.length}`);
  const header = tar.subarray(0, BLOCK);
  if (checksumOf(header) !== octal(header, CHECKSUM_AT, CHECKSUM_LENGTH))
    throw malformed("the checksum is wrong");
  const type = header[156];
  if (type !== 0 && type !== 0x30) throw malformed("the first entry is no plain file");
  const name = textAt(header, 0, 100);
  const prefix = header.toString("latin1", 257, 263) === "ustar\0" ? textAt(header, 345, 155) : "";
  if (name !== TOC_NAME || prefix !== "") throw malformed(`the first entry is not ${TOC_NAME}`);
  const size = octal(header, 124, 12);
  const end = BLOCK + size;
  if (end > tar.length) throw malformed(`want ${size} bytes of content, got ${tar.length - BLOCK}`);
  if (!isZero(tar.subarray(end))) throw malformed("something stands behind the TOC");
  return tar.subarray(BLOCK, end);
}

/** Two blocks of zeros end a tar. */
const TRAILER_BYTES = 2 * BLOCK;

/** The TOC as the last entry of a layer's tar, and the end of that tar. */
export function tarOfToc(toc: Buffer): Buffer {
  const padding = (BLOCK - (toc.length % BLOCK)) % BLOCK;
  const tar = Buffer.alloc(BLOCK + toc.length + padding + TRAILER_BYTES);
  tar.write(TOC_NAME, 0, "latin1");
  for (const at of [100, 108, 116]) tar.write("0000000\0", at, "latin1");
  tar.write(`${toc.length.toString(8).padStart(11, "0")}\0`, 124, "latin1");
  tar.write("00000000000\0", 136, "latin1");
  tar.write("0", 156, "latin1");
  tar.write("ustar\x0000", 257, "latin1");
  tar.write(`${checksumOf(tar).toString(8).padStart(6, "0")}\0 `, CHECKSUM_AT, "latin1");
  toc.copy(tar, BLOCK);
  return tar;
}

function isZero(bytes: Buffer): boolean {
  for (const byte of bytes) if (byte !== 0) return false;
  return true;
}

function textAt(header: Buffer, at: number, length: number): string {
  const field = header.toString("latin1", at, at + length);
  const end = field.indexOf("\0");
  return end < 0 ? field : field.slice(0, end);
}

/** Digits with spaces around and NUL behind; base-256 numbers are not needed below 8 GiB. */
function octal(header: Buffer, at: number, length: number): number {
  const field = textAt(header, at, length).trim();
  if (!/^[0-7]{1,12}$/.test(field)) throw malformed("a number is not octal");
  return Number.parseInt(field, 8);
}

function checksumOf(header: Buffer): number {
  let sum = 0;
  for (let at = 0; at < BLOCK; at++) {
    const isChecksum = at >= CHECKSUM_AT && at < CHECKSUM_AT + CHECKSUM_LENGTH;
    sum += isChecksum ? 0x20 : header[at]!;
  }
  return sum;
}

function malformed(problem: string): LazuliError {
  return invalidArgument(`Cannot read tar of TOC: ${problem}`, { reason: "toc-tar-malformed" });
}
