import { invalidArgument } from "../errors/index.js";

const durationUnits = { h: 3_600_000, m: 60_000, s: 1000, ms: 1 } as const;
const sizeUnits = { TiB: 2 ** 40, GiB: 2 ** 30, MiB: 2 ** 20, KiB: 1024, B: 1 } as const;

/** Longer waits than a day are mistakes, and Node's timers end at 2^31 ms. */
const DURATION_MAX_MS = 24 * durationUnits.h;

/** Longest text that is looked at. */
const TEXT_LENGTH_MAX = 40;

/** `"30s"`, `"1m30s"`, `"1.5s"`, `"250ms"` as milliseconds, above 0 and up to 24h. @throws INVALID_ARGUMENT */
export function parseDuration(text: string): number {
  const parts = text.length <= TEXT_LENGTH_MAX ? [...text.matchAll(/(\d+(?:\.\d+)?)(ms|h|m|s)/g)] : [];
  const milliseconds = parts.reduce(
    (sum, part) => sum + Number(part[1]) * durationUnits[part[2] as keyof typeof durationUnits],
    0,
  );
  const isWhole = parts.map((part) => part[0]).join("") === text && parts.length > 0;
  if (!isWhole || Math.round(milliseconds) < 1 || milliseconds > DURATION_MAX_MS) {
    throw invalidArgument(
      `Cannot read duration: want a time above 0 and up to 24h such as "30s" or "1m30s", got "${text.slice(0, TEXT_LENGTH_MAX)}"`,
      { reason: "duration-invalid" },
    );
  }
  return Math.round(milliseconds);
}

/** The shortest text that `parseDuration` reads as the same time. */
export function formatDuration(milliseconds: number): string {
  let rest = milliseconds;
  let text = "";
  for (const [unit, length] of Object.entries(durationUnits)) {
    const count = Math.floor(rest / length);
    if (count > 0) text += `${count}${unit}`;
    rest -= count * length;
  }
  return text === "" ? "0ms" : text;
}

/** `"64MiB"`, `"512KiB"`, `"1.5GiB"`, `"4096B"` as bytes, above 0. @throws INVALID_ARGUMENT */
export function parseSize(text: string): number {
  const match = text.length <= TEXT_LENGTH_MAX ? /^(\d+(?:\.\d+)?) ?(TiB|GiB|MiB|KiB|B)$/.exec(text) : null;
  const bytes = match === null ? 0 : Number(match[1]) * sizeUnits[match[2] as keyof typeof sizeUnits];
  if (!Number.isSafeInteger(bytes) || bytes < 1) {
    throw invalidArgument(
      `Cannot read size: want whole bytes above 0 with a unit such as "64MiB" or "512KiB", got "${text.slice(0, TEXT_LENGTH_MAX)}"`,
      { reason: "size-invalid" },
    );
  }
  return bytes;
}

/** Bytes, or hundredths of a file system. */
export type SizeOrShare = { readonly bytes: number } | { readonly percent: number };

/** `"0"`, a size as `parseSize` reads it, or `"80%"`: above 0 and up to 100. @throws INVALID_ARGUMENT */
export function parseSizeOrShare(text: string): SizeOrShare {
  if (text === "0") return { bytes: 0 };
  const percent = /^(\d{1,3}(?:\.\d{1,3})?)%$/.exec(text)?.[1];
  if (percent === undefined) return { bytes: parseSize(text) };
  if (!(Number(percent) > 0 && Number(percent) <= 100)) {
    throw invalidArgument(`Cannot read size: want a share above 0% and up to 100%, got "${text}"`, {
      reason: "size-invalid",
    });
  }
  return { percent: Number(percent) };
}

export function formatSizeOrShare(value: SizeOrShare): string {
  if ("percent" in value) return `${value.percent}%`;
  return value.bytes === 0 ? "0" : formatSize(value.bytes);
}

/** Bytes with the largest unit that divides them, as `parseSize` reads them. */
export function formatSize(bytes: number): string {
  for (const [unit, length] of Object.entries(sizeUnits)) {
    if (bytes % length === 0 && bytes >= length) return `${bytes / length}${unit}`;
  }
  return `${bytes}B`;
}
