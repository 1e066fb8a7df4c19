import { dataLoss, type LazuliError } from "../errors/index.js";

/** A `Content-Range` header; `end` is inclusive as on the wire, `total` undefined for `*`. */
export interface ContentRange {
  readonly start: number;
  readonly end: number;
  readonly total: number | undefined;
}

/** Reads `bytes <start>-<end>/<total|*>` (RFC 9110 14.4); undefined for anything else or numbers above 10^15. */
export function parseContentRange(header: string | undefined): ContentRange | undefined {
  if (header === undefined || header.length > 80) return undefined;
  const match = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)$/i.exec(header.trim());
  if (match === null) return undefined;
  const start = Number(match[1]);
  const end = Number(match[2]);
  const total = match[3] === "*" ? undefined : Number(match[3]);
  if (end < start || (total !== undefined && end >= total)) return undefined;
  return { start, end, total };
}

export interface WantedRange {
  readonly offset: number;
  readonly length: number;
  /** Bytes of the whole blob. */
  readonly size: number;
  /** For errors: the blob, and who answered. */
  readonly subject: string;
  readonly host: string;
}

/**
 * The number of bytes that the answer holds from the wanted start. A server may send less than was asked for
 * (RFC 9110 15.3.7), the rest is then asked again; it may not send anything else. @throws DATA_LOSS
 */
export function checkContentRange(range: ContentRange | undefined, wanted: WantedRange): number {
  const end = wanted.offset + wanted.length - 1;
  if (range === undefined) throw rangeWrong(wanted, "none");
  if (range.start !== wanted.offset || range.end > end || (range.total ?? wanted.size) !== wanted.size) {
    throw rangeWrong(wanted, `${range.start}-${range.end}/${range.total ?? "*"}`);
  }
  return range.end - range.start + 1;
}

function rangeWrong(wanted: WantedRange, actual: string): LazuliError {
  const { offset, length, size, subject, host } = wanted;
  return dataLoss(
    `Cannot read "${subject}" from ${host}: want range ${offset}-${offset + length - 1}/${size}, got ${actual}`,
    { subject, reason: "content-range-wrong" },
  );
}
