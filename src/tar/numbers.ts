import type { FileTime } from "../tree/index.js";
import { refuseTar, shown } from "./refusal.js";

const ZERO = 0x30;
const SEVEN = 0x37;
const SPACE = 0x20;
const BASE_256 = 0x80;
const NEGATIVE = 0x40;

/** Where a number stands, for messages. */
export interface NumberPlace {
  readonly field: string;
  /** Of the header. */
  readonly offset: number;
}

/**
 * A numeric field of a header: octal digits with NULs and spaces around, or base-256 of GNU and star.
 * @throws INVALID_ARGUMENT `tar-number` for junk, or what has more than 63 bits
 */
export function numericField(field: Buffer, place: NumberPlace): number | bigint {
  if (field.length > 0 && (field[0]! & BASE_256) !== 0) return base256(field, place);
  return octal(field, place);
}

/** As numericField(), for what has to be exact as a JavaScript number. */
export function safeField(field: Buffer, place: NumberPlace): number {
  const value = numericField(field, place);
  if (typeof value === "number") return value;
  const number = Number(value);
  if (!Number.isSafeInteger(number)) throw wrongNumber(String(value), place);
  return number;
}

function octal(field: Buffer, place: NumberPlace): number {
  let start = 0;
  let end = field.length;
  while (start < end && isBlank(field[start]!)) start += 1;
  while (end > start && isBlank(field[end - 1]!)) end -= 1;
  let value = 0;
  for (let at = start; at < end; at++) {
    const digit = field[at]!;
    // What stands behind a NUL is not looked at, as in C.
    if (digit === 0) break;
    if (digit < ZERO || digit > SEVEN) throw wrongNumber(field.toString("latin1"), place);
    value = value * 8 + (digit - ZERO);
  }
  return value;
}

function isBlank(byte: number): boolean {
  return byte === 0 || byte === SPACE;
}

function base256(field: Buffer, place: NumberPlace): bigint {
  const inversion = (field[0]! & NEGATIVE) === 0 ? 0 : 0xff;
  let value = 0n;
  for (let at = 0; at < field.length; at++) {
    const byte = (field[at]! ^ inversion) & (at === 0 ? BASE_256 - 1 : 0xff);
    value = (value << 8n) | BigInt(byte);
  }
  if (value >= 1n << 63n) throw wrongNumber(`0x${field.toString("hex")}`, place);
  return inversion === 0 ? value : -value - 1n;
}

const decimalShape = /^[+-]?[0-9]+$/;
/** Digits of the longest text that is looked at; 64 bits have 19, and leading zeros are allowed. */
const DECIMAL_LENGTH_MAX = 64;

/** A decimal text within 64 bits, as Go's ParseInt takes it. */
export function decimal(text: string, place: NumberPlace): bigint {
  if (text.length <= DECIMAL_LENGTH_MAX && decimalShape.test(text)) {
    const value = text.startsWith("-") ? -BigInt(text.slice(1)) : BigInt(text.replace("+", ""));
    if (BigInt.asIntN(64, value) === value) return value;
  }
  throw wrongNumber(text, place);
}

export function safeDecimal(text: string, place: NumberPlace): number {
  const value = Number(decimal(text, place));
  if (!Number.isSafeInteger(value)) throw wrongNumber(text, place);
  return value;
}

/**
 * Seconds since 1970 with an optional fraction; digits behind the ninth are cut off.
 * @throws INVALID_ARGUMENT `tar-time`
 */
export function paxTime(text: string, place: NumberPlace): FileTime {
  const point = text.indexOf(".");
  const whole = point < 0 ? text : text.slice(0, point);
  const fraction = point < 0 ? "" : text.slice(point + 1);
  if (!decimalShape.test(whole) || !/^[0-9]*$/.test(fraction) || whole.length > DECIMAL_LENGTH_MAX) {
    throw refuseTar("tar-time", `want seconds for ${place.field}, got ${shown(text)}`, place.offset);
  }
  const seconds = BigInt(whole.replace("+", ""));
  if (BigInt.asIntN(64, seconds) !== seconds) {
    throw refuseTar("tar-time", `want 64 bits for ${place.field}, got ${shown(text)}`, place.offset);
  }
  const nanoseconds = Number(fraction.slice(0, 9).padEnd(9, "0"));
  if (!whole.startsWith("-") || nanoseconds === 0) return { seconds, nanoseconds };
  return { seconds: seconds - 1n, nanoseconds: 1_000_000_000 - nanoseconds };
}

function wrongNumber(text: string, place: NumberPlace): Error {
  return refuseTar("tar-number", `want a whole number for ${place.field}, got ${shown(text)}`, place.offset);
}
