import type { BenchSeries } from "../contract.js";

type Unit = BenchSeries["unit"];

const byteUnits = ["B", "KiB", "MiB", "GiB", "TiB"] as const;

/** A figure with the unit that suits its size: `1.80 s`, `71.7 MiB`, `4.1 µs`. */
export function figureText(value: number, unit: Unit): string {
  if (unit === "ms") return timeText(value);
  if (unit === "bytes") return bytesText(value);
  if (unit === "count") return digits(value);
  return `${digits(value)} ${unit}`;
}

export function timeText(milliseconds: number): string {
  const size = Math.abs(milliseconds);
  if (size === 0) return "0 ms";
  if (size < 0.001) return `${digits(milliseconds * 1e6)} ns`;
  if (size < 1) return `${digits(milliseconds * 1e3)} µs`;
  if (size < 1000) return `${digits(milliseconds)} ms`;
  return `${digits(milliseconds / 1000)} s`;
}

export function bytesText(bytes: number): string {
  let value = bytes;
  let index = 0;
  while (Math.abs(value) >= 1024 && index < byteUnits.length - 1) {
    value /= 1024;
    index += 1;
  }
  return `${index === 0 ? Math.round(value) : digits(value)} ${byteUnits[index]}`;
}

export function ratioText(ratio: number): string {
  return `${ratio < 0.1 ? ratio.toFixed(3) : ratio < 1.995 ? ratio.toFixed(2) : digits(ratio)} ×`;
}

/** Three digits that count, and no fewer than stand before the point. */
function digits(value: number): string {
  const size = Math.abs(value);
  if (size >= 100 || (Number.isInteger(value) && size < 1000)) return Math.round(value).toString();
  return value.toFixed(size >= 10 ? 1 : 2);
}

/** Control characters, halves of surrogate pairs, and what turns the direction of writing around. */
const unprintable = /[\p{Cc}\p{Cs}\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/gu;
const NAME_CHARACTERS_MAX = 80;

/** A stranger's text in one line: what can't be seen becomes U+FFFD, and what is too long for a name is cut. */
export function plainText(text: string, charactersMax = NAME_CHARACTERS_MAX): string {
  const head = text.slice(0, charactersMax * 2).replace(unprintable, "\ufffd");
  const characters = [...head];
  if (characters.length <= charactersMax) return head;
  return `${characters.slice(0, charactersMax - 1).join("")}…`;
}
