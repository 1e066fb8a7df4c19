import type { UnitTable } from "../units/index.js";
import { EARLY_STEP_BYTES } from "./limits.js";

/** A stream of which the first bytes are here. */
export interface ArrivingStream {
  readonly first: number;
  readonly last: number;
  /** The unit of it that a read waits for. */
  readonly wanted: number;
  /** Bytes of it that are here. */
  readonly here: number;
}

/**
 * Tells when to decode a stream that has come in part: each time costs all that stands before the wanted unit. First where
 * its bytes should be here, were the stream compressed alike everywhere; then after so many more.
 */
export class EarlyTries {
  readonly #units: UnitTable;
  #stream: number | undefined;
  #tried = 0;

  constructor(units: UnitTable) {
    this.#units = units;
  }

  isDue(stream: ArrivingStream): boolean {
    const { first, last, wanted, here } = stream;
    const units = this.#units;
    if (this.#stream !== first) this.#tried = 0;
    this.#stream = first;
    const length = units.blobLength(first);
    // The rest comes as soon as the attempt would end.
    if (length - here < EARLY_STEP_BYTES || here - this.#tried < EARLY_STEP_BYTES) return false;
    const start = units.dataOffset(first);
    const end = (unit: number): number => units.dataOffset(unit) + units.dataLength(unit) - start;
    if (here < (length * end(wanted)) / end(last)) return false;
    this.#tried = here;
    return true;
  }
}
