import { assert } from "../errors/index.js";

const OFFSET_BYTES = 4;
const FIRST_CAPACITY = 64 * 1024;
/** Offsets of flatbuffers are signed for vtables. */
const BYTES_MAX = 2 ** 31 - 1;

/** Where something lies, counted from the end of the finished buffer. */
export type FlatOffset = number;

/**
 * Writes a flatbuffer from its end to its start, with the alignment, the order and the shared vtables of Google's
 * builders: the same calls give the same bytes as theirs, which makes our zTOCs those that `soci create` would write.
 */
export class FlatWriter {
  #bytes = Buffer.alloc(FIRST_CAPACITY);
  #used = 0;
  #largestAlignment = 1;
  #slots: number[] = [];
  #tableEnd = 0;
  readonly #vtables = new Map<string, FlatOffset>();

  text(bytes: Uint8Array): FlatOffset {
    this.#prepare(OFFSET_BYTES, bytes.length + 1);
    this.#used += 1;
    this.#put(bytes);
    return this.#endVector(bytes.length);
  }

  byteVector(bytes: Uint8Array): FlatOffset {
    this.#prepare(OFFSET_BYTES, bytes.length);
    this.#put(bytes);
    return this.#endVector(bytes.length);
  }

  offsetVector(offsets: readonly FlatOffset[]): FlatOffset {
    this.#prepare(OFFSET_BYTES, OFFSET_BYTES * offsets.length);
    for (let index = offsets.length - 1; index >= 0; index--) this.#prependOffset(offsets[index]!);
    return this.#endVector(offsets.length);
  }

  startTable(fields: number): void {
    this.#slots = new Array<number>(fields).fill(0);
    this.#tableEnd = this.#used;
  }

  /** Values that are equal to their default are left out. */
  int8(field: number, value: number, absent: number): void {
    if (value === absent) return;
    this.#prepare(1, 0);
    this.#bytes.writeInt8(value, this.#take(1));
    this.#slots[field] = this.#used;
  }

  int32(field: number, value: number): void {
    if (value === 0) return;
    this.#prepare(4, 0);
    this.#bytes.writeInt32LE(value, this.#take(4));
    this.#slots[field] = this.#used;
  }

  uint32(field: number, value: number): void {
    if (value === 0) return;
    this.#prepare(4, 0);
    this.#bytes.writeUInt32LE(value, this.#take(4));
    this.#slots[field] = this.#used;
  }

  int64(field: number, value: number): void {
    if (value === 0) return;
    this.#prepare(8, 0);
    this.#bytes.writeBigInt64LE(BigInt(value), this.#take(8));
    this.#slots[field] = this.#used;
  }

  offset(field: number, offset: FlatOffset): void {
    this.#prependOffset(offset);
    this.#slots[field] = this.#used;
  }

  endTable(): FlatOffset {
    this.#prepare(4, 0);
    this.#take(4);
    const table = this.#used;
    while (this.#slots.at(-1) === 0) this.#slots.pop();
    const fields = this.#slots.map((slot) => (slot === 0 ? 0 : table - slot));
    const key = fields.join();
    let vtable = this.#vtables.get(key);
    if (vtable === undefined) {
      for (const value of [...fields.toReversed(), table - this.#tableEnd, (fields.length + 2) * 2]) {
        this.#prepare(2, 0);
        this.#bytes.writeUInt16LE(value, this.#take(2));
      }
      vtable = this.#used;
      this.#vtables.set(key, vtable);
    }
    this.#bytes.writeInt32LE(vtable - table, this.#bytes.length - table);
    return table;
  }

  finish(root: FlatOffset): Buffer {
    this.#prepare(this.#largestAlignment, OFFSET_BYTES);
    this.#prependOffset(root);
    return this.#bytes.subarray(this.#bytes.length - this.#used);
  }

  #endVector(count: number): FlatOffset {
    this.#bytes.writeUInt32LE(count, this.#take(OFFSET_BYTES));
    return this.#used;
  }

  #prependOffset(offset: FlatOffset): void {
    this.#prepare(OFFSET_BYTES, 0);
    assert(offset > 0 && offset <= this.#used, "an offset leads to what is already written");
    this.#bytes.writeUInt32LE(this.#used - offset + OFFSET_BYTES, this.#take(OFFSET_BYTES));
  }

  /** Room for `size` bytes, so aligned that they are a multiple of `size` from the end after `additional` bytes. */
  #prepare(size: number, additional: number): void {
    this.#largestAlignment = Math.max(this.#largestAlignment, size);
    const padding = (size - ((this.#used + additional) % size)) % size;
    this.#grow(padding + size + additional);
    this.#used += padding;
  }

  #grow(more: number): void {
    const wanted = this.#used + more;
    if (wanted <= this.#bytes.length) return;
    assert(wanted <= BYTES_MAX, "a flatbuffer has less than 2 GiB");
    const larger = Buffer.alloc(Math.min(BYTES_MAX, Math.max(wanted, this.#bytes.length * 2)));
    this.#bytes.copy(larger, larger.length - this.#used, this.#bytes.length - this.#used);
    this.#bytes = larger;
  }

  #take(length: number): number {
    this.#used += length;
    return this.#bytes.length - this.#used;
  }

  #put(bytes: Uint8Array): void {
    this.#bytes.set(bytes, this.#take(bytes.length));
  }
}
