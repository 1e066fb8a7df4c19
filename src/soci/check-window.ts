import { dataLoss } from "../errors/index.js";
import { WINDOW_BYTES } from "./limits.js";

export interface CheckWindowOptions {
  readonly unit: number;
  readonly dataOffset: number;
  /** The 32 KiB that the unit was decoded with. */
  readonly window: Uint8Array;
  /** What the data file holds before the unit: its last 32 KiB, or all of it where that is less. */
  readonly before: Uint8Array;
}

/**
 * Compares the window that a unit was decoded with to the bytes that do stand before it. A span's digest covers what lies
 * in the blob, so that a zTOC with another window makes other bytes of the same blob; once the unit before is there, it
 * can be told. @throws DATA_LOSS with reason `zinfo-window-mismatch`
 */
export function checkWindow(options: CheckWindowOptions): void {
  const { unit, dataOffset, window, before } = options;
  const known = Math.min(dataOffset, WINDOW_BYTES);
  if (before.length >= known && window.length === WINDOW_BYTES) {
    const meant = Buffer.from(window.buffer, window.byteOffset + WINDOW_BYTES - known, known);
    if (meant.equals(before.subarray(before.length - known))) return;
  }
  throw dataLoss(`Cannot use zTOC: the window of span ${unit} is not what stands before it`, {
    reason: "zinfo-window-mismatch",
  });
}
