import { BitSet } from "./bit-set.js";
import { FILL_JUMP_SHARE } from "./limits.js";
import type { UnitLedger } from "./unit-ledger.js";

/** Which units of a layer reads have used, as far as that is known. */
export class TouchedUnits {
  readonly #ledger: UnitLedger;
  readonly #touched: BitSet;
  #bytes = 0;

  constructor(ledger: UnitLedger) {
    this.#ledger = ledger;
    this.#touched = new BitSet(ledger.units.count);
  }

  /** Reads use so much of the layer that they will hardly leave the rest. */
  get areMany(): boolean {
    return this.#bytes > this.#ledger.dataBytes * FILL_JUMP_SHARE;
  }

  add(first: number, last: number): void {
    for (let at = this.#touched.firstAbsent(first, last); at !== undefined; ) {
      this.#touched.set(at, true);
      this.#bytes += this.#ledger.units.dataLength(at);
      at = this.#touched.firstAbsent(at, last);
    }
  }
}
