import { invalidArgument, type LazuliError, resourceExhausted } from "../errors/index.js";

/** Why a zTOC can't be used: the `reason` of the error. */
export type ZtocReason =
  | "ztoc-flatbuffer"
  | "ztoc-version"
  | "ztoc-algorithm"
  | "ztoc-number"
  | "ztoc-other-layer"
  | "ztoc-span-count"
  | "ztoc-span-digest"
  | "zinfo-malformed"
  | "zinfo-order"
  | "zinfo-range"
  | "zinfo-bits"
  | "zinfo-ratio"
  | "ztoc-entry-type"
  | "ztoc-entry-order"
  | "ztoc-entry-range"
  | "ztoc-entry-unaligned"
  | "ztoc-sparse"
  | "ztoc-name"
  | "ztoc-root"
  | "ztoc-parent"
  | "ztoc-time"
  | "ztoc-xattr"
  | "ztoc-symlink"
  | "ztoc-device"
  | "ztoc-hardlink-missing"
  | "ztoc-hardlink-target";

/** Why a zTOC is more than we take. */
export type ZtocLimit =
  | "ztoc-too-large"
  | "ztoc-too-many-entries"
  | "ztoc-too-many-spans"
  | "ztoc-path-too-long"
  | "ztoc-span-too-large"
  | "ztoc-data-too-large";

/** Longest piece of a stranger's text in a message. */
const SHOWN_LENGTH = 80;

export function shown(text: string): string {
  return text.length > SHOWN_LENGTH ? `"${text.slice(0, SHOWN_LENGTH)}…"` : `"${text}"`;
}

export function refuseZtoc(reason: ZtocReason, problem: string, entry?: number): LazuliError {
  const where = entry === undefined ? "" : `entry ${entry}: `;
  return invalidArgument(`Cannot use zTOC: ${where}${problem}`, { reason });
}

export function refuseZtocSize(reason: ZtocLimit, problem: string, entry?: number): LazuliError {
  const where = entry === undefined ? "" : `entry ${entry}: `;
  return resourceExhausted(`Cannot use zTOC: ${where}${problem}`, { reason });
}
