import type { UnitTable } from "../units/index.js";
import { BitSet } from "./bit-set.js";
import { CORRUPT_UNITS_MAX } from "./limits.js";

/**
 * What the scheduler knows of a layer's units. Each is missing, on its way in exactly one request, or present. The
 * native plane has the last word on what is present; this follows it by what `ingest` and `onDamaged` say.
 */
export class UnitLedger {
  readonly units: UnitTable;
  /** Bytes of all units. */
  readonly dataBytes: number;
  readonly #present: BitSet;
  /** Present or on its way: what no new request may ask for. */
  readonly #settled: BitSet;
  /** Present, and checked by this process. */
  readonly #verified: BitSet;
  /** Failed attempts of units whose bytes came wrong, oldest first. */
  readonly #failures = new Map<number, number>();
  readonly #onReserved: ((delta: number) => void) | undefined;
  #presentCount = 0;
  #presentBytes = 0;

  /** @param onReserved Told of the decoded bytes that are on their way: so many more, or fewer. */
  constructor(units: UnitTable, present: BitSet, onReserved?: (delta: number) => void) {
    this.units = units;
    this.#onReserved = onReserved;
    this.#present = new BitSet(units.count);
    this.#settled = new BitSet(units.count);
    this.#verified = new BitSet(units.count);
    let dataBytes = 0;
    for (let unit = 0; unit < units.count; unit += 1) {
      dataBytes += units.dataLength(unit);
      if (present.has(unit)) this.#add(unit);
    }
    this.dataBytes = dataBytes;
  }

  get presentCount(): number {
    return this.#presentCount;
  }

  get presentBytes(): number {
    return this.#presentBytes;
  }

  get isComplete(): boolean {
    return this.#presentCount === this.units.count;
  }

  isPresent(unit: number): boolean {
    return this.#present.has(unit);
  }

  /** What is present now, as a set that does not change. */
  presence(): BitSet {
    return new BitSet(this.units.count, this.#present.bytes.slice());
  }

  isOnItsWay(unit: number): boolean {
    return this.#settled.has(unit) && !this.#present.has(unit);
  }

  /** Whether all units of a range are present. */
  hasAll(first: number, last: number): boolean {
    return this.#present.firstAbsent(first, last) === undefined;
  }

  /** The first unit of a range that is neither present nor on its way. */
  firstWanted(first: number, last: number): number | undefined {
    return this.#settled.firstAbsent(first, last);
  }

  /** The first unit of a range that is not present. */
  firstMissing(first: number, last: number): number | undefined {
    return this.#present.firstAbsent(first, last);
  }

  /** The first unit of a range that this process has not checked. */
  firstUnverified(first: number, last: number): number | undefined {
    return this.#verified.firstAbsent(first, last);
  }

  /** Units of a range that are not present belong to a request from now on. */
  markOnItsWay(first: number, last: number): void {
    let bytes = 0;
    for (let unit = first; unit <= last; unit += 1) {
      if (!this.#settled.has(unit)) bytes += this.units.dataLength(unit);
      this.#settled.set(unit, true);
    }
    this.#onReserved?.(bytes);
  }

  /** A request is through with these: those that did not become present may be asked for again. */
  release(first: number, last: number): void {
    let bytes = 0;
    for (let unit = first; unit <= last; unit += 1) {
      if (this.isOnItsWay(unit)) bytes += this.units.dataLength(unit);
      this.#settled.set(unit, this.#present.has(unit));
    }
    this.#onReserved?.(-bytes);
  }

  /** Decoded bytes of a range that are not present. */
  missingBytes(first: number, last: number): number {
    let bytes = 0;
    for (let unit = first; unit <= last; unit += 1)
      if (!this.#present.has(unit)) bytes += this.units.dataLength(unit);
    return bytes;
  }

  markStored(unit: number): void {
    if (!this.#present.has(unit)) this.#add(unit);
    this.#verified.set(unit, true);
    this.#failures.delete(unit);
  }

  /** The plane has the unit already, perhaps unchecked. */
  markPresent(unit: number): void {
    if (!this.#present.has(unit)) this.#add(unit);
  }

  markVerified(unit: number): void {
    if (this.#present.has(unit)) this.#verified.set(unit, true);
  }

  /** The unit's bytes on disk are wrong: it is missing. False when it was missing already. */
  markDamaged(unit: number): boolean {
    this.#verified.set(unit, false);
    if (!this.#present.has(unit)) return false;
    this.#present.set(unit, false);
    this.#settled.set(unit, false);
    this.#presentCount -= 1;
    this.#presentBytes -= this.units.dataLength(unit);
    return true;
  }

  /** The unit was given up. */
  markEvicted(unit: number): void {
    this.markDamaged(unit);
  }

  /** Counts wrong bytes from a source; returns how often now. */
  countFailure(unit: number): number {
    const count = (this.#failures.get(unit) ?? 0) + 1;
    this.#failures.delete(unit);
    this.#failures.set(unit, count);
    if (this.#failures.size > CORRUPT_UNITS_MAX) {
      const [oldest] = this.#failures.keys();
      this.#failures.delete(oldest!);
    }
    return count;
  }

  failures(unit: number): number {
    return this.#failures.get(unit) ?? 0;
  }

  forgetFailures(unit: number): void {
    this.#failures.delete(unit);
  }

  #add(unit: number): void {
    if (this.isOnItsWay(unit)) this.#onReserved?.(-this.units.dataLength(unit));
    this.#present.set(unit, true);
    this.#settled.set(unit, true);
    this.#presentCount += 1;
    this.#presentBytes += this.units.dataLength(unit);
  }
}
