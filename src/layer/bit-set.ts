import { assert } from "../errors/index.js";

/** A set of units, one bit each, least significant first: the form on disk and at the native border. */
export class BitSet {
  readonly bytes: Uint8Array;
  readonly size: number;

  /** Takes the bytes over; those beyond `size` bits must be absent. */
  constructor(size: number, bytes: Uint8Array = new Uint8Array(byteLength(size))) {
    assert(bytes.length === byteLength(size), `a set of ${size} has ${byteLength(size)} bytes`);
    this.size = size;
    this.bytes = bytes;
  }

  has(index: number): boolean {
    return ((this.bytes[index >>> 3] ?? 0) & (1 << (index & 7))) !== 0;
  }

  set(index: number, value: boolean): void {
    assert(index >= 0 && index < this.size, `bit ${index} of ${this.size}`);
    const bit = 1 << (index & 7);
    const old = this.bytes[index >>> 3]!;
    this.bytes[index >>> 3] = value ? old | bit : old & ~bit;
  }

  /** The first index in [from, last] that is not in the set; undefined if there is none. */
  firstAbsent(from: number, last: number): number | undefined {
    let index = from;
    while (index <= last) {
      if ((index & 7) === 0 && this.bytes[index >>> 3] === 0xff) index += 8;
      else if (this.has(index)) index += 1;
      else return index;
    }
    return undefined;
  }
}

export function byteLength(bits: number): number {
  return Math.ceil(bits / 8);
}
