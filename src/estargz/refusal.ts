import { invalidArgument, type LazuliError, resourceExhausted } from "../errors/index.js";

/** Why a table of contents can't be used: the `reason` of the error. */
export type TocReason =
  | "toc-malformed"
  | "toc-version"
  | "toc-entry-malformed"
  | "toc-entry-type"
  | "toc-name"
  | "toc-name-lossy"
  | "toc-reserved-name"
  | "toc-root"
  | "toc-parent"
  | "toc-kind-conflict"
  | "toc-number"
  | "toc-time"
  | "toc-xattr"
  | "toc-symlink"
  | "toc-device"
  | "toc-hardlink-missing"
  | "toc-hardlink-cycle"
  | "toc-hardlink-target"
  | "toc-chunk-orphan"
  | "toc-chunk-partition"
  | "toc-chunk-digest"
  | "toc-chunk-offset"
  | "toc-chunk-order"
  | "toc-chunk-type";

/** Why a table of contents is more than we take. */
export type TocLimit =
  | "toc-too-large"
  | "toc-too-many-entries"
  | "toc-path-too-long"
  | "toc-unit-too-large"
  | "toc-stream-too-large"
  | "toc-data-too-large";

/** Longest piece of a stranger's text in a message. */
const SHOWN_LENGTH = 80;

export function shown(text: string): string {
  return text.length > SHOWN_LENGTH ? `"${text.slice(0, SHOWN_LENGTH)}…"` : `"${text}"`;
}

export function refuseToc(reason: TocReason, problem: string, entry?: number): LazuliError {
  const where = entry === undefined ? "" : `entry ${entry}: `;
  return invalidArgument(`Cannot use TOC: ${where}${problem}`, { reason });
}

export function refuseTocSize(reason: TocLimit, problem: string, entry?: number): LazuliError {
  const where = entry === undefined ? "" : `entry ${entry}: `;
  return resourceExhausted(`Cannot use TOC: ${where}${problem}`, { reason });
}
