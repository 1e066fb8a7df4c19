import { invalidArgument } from "../errors/index.js";

export type KeyParts = readonly (string | number)[];

/** Texts and numbers, compared part by part (numbers before texts). A text is the same key as a list of just it. */
export type TableKey = string | KeyParts;

/** lmdb's limit with pages of 4096 bytes. */
const KEY_BYTES_MAX = 1978;
const NUMBER_BYTES = 9;
/** Bytes below this one are lmdb's own marks; in texts of 64 characters and more it doesn't escape them. */
const FIRST_PLAIN_CODE = 5;

/** Also for a lone number, which is how lmdb reads a list of one back. */
export function keyParts(key: TableKey | number): KeyParts {
  return typeof key === "object" ? key : [key];
}

/** Bytes of a key as lmdb stores it, or undefined when it holds characters that lmdb can't give back. */
function keyBytes(parts: KeyParts): number | undefined {
  let bytes = parts.length - 1;
  for (const part of parts) {
    if (typeof part === "number") {
      bytes += NUMBER_BYTES;
      continue;
    }
    for (let at = 0; at < part.length; at += 1) if (part.charCodeAt(at) < FIRST_PLAIN_CODE) return undefined;
    // One more for the mark before a text that is empty or begins with a control character.
    bytes += Buffer.byteLength(part, "utf8") + 1;
  }
  return bytes;
}

export function canBeKey(parts: KeyParts): boolean {
  const bytes = keyBytes(parts);
  return parts.length > 0 && bytes !== undefined && bytes <= KEY_BYTES_MAX;
}

/** @throws INVALID_ARGUMENT when lmdb can't store the key */
export function requireKey(table: string, parts: KeyParts): void {
  if (canBeKey(parts)) return;
  const bytes = keyBytes(parts);
  const actual = bytes === undefined ? "control characters in it" : `${bytes} bytes`;
  throw invalidArgument(
    `Cannot store in ${table}: want names of at most ${KEY_BYTES_MAX} bytes together, got ${actual}`,
    { reason: "metadata-key-invalid" },
  );
}

/** A text that is the same for equal keys only. */
export function keyText(parts: KeyParts): string {
  return parts.length === 1 && typeof parts[0] === "string" ? parts[0] : JSON.stringify(parts);
}

export function startsWith(parts: KeyParts, prefix: KeyParts): boolean {
  return prefix.length <= parts.length && prefix.every((part, index) => part === parts[index]);
}

/** The order of lmdb, which compares the bytes of UTF-8. */
export function compareKeys(left: KeyParts, right: KeyParts): number {
  const length = Math.min(left.length, right.length);
  for (let index = 0; index < length; index += 1) {
    const order = comparePart(left[index]!, right[index]!);
    if (order !== 0) return order;
  }
  return left.length - right.length;
}

function comparePart(left: string | number, right: string | number): number {
  if (left === right) return 0;
  if (typeof left === "number" || typeof right === "number") {
    if (typeof left !== typeof right) return typeof left === "number" ? -1 : 1;
    return Number(left) - Number(right);
  }
  const length = Math.min(left.length, right.length);
  for (let at = 0; at < length; at += 1) {
    const one = left.charCodeAt(at);
    const other = right.charCodeAt(at);
    if (one !== other) return inUtf8Order(one) - inUtf8Order(other);
  }
  return left.length - right.length;
}

/** UTF-16 has surrogates (code points from 10000 on) below E000 to FFFF, UTF-8 above. */
function inUtf8Order(unit: number): number {
  return unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit;
}
