import { refuseZtoc, refuseZtocSize } from "./refusal.js";

/** Strings that are not read more than once stay below the buffer's length; writers may share a few short ones. */
const SHARED_BYTES_FREE = 1024 * 1024;

const VTABLE_HEADER = 4;
const OFFSET_BYTES = 4;

/**
 * A flatbuffer of a stranger (the FlatBuffers "Internals" page). Each offset is checked where it is followed. All offsets
 * but that of a vtable lead forward, so that no walk goes in a circle, and a budget bounds what shared strings can grow to.
 *
 * @throws INVALID_ARGUMENT `ztoc-flatbuffer`, RESOURCE_EXHAUSTED `ztoc-too-large`
 */
export class FlatBuffer {
  readonly bytes: Buffer;
  #textBytesLeft: number;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
    this.#textBytesLeft = bytes.length + SHARED_BYTES_FREE;
  }

  root(): FlatTable {
    return new FlatTable(this, this.follow(0));
  }

  /** The place that the offset at `position` leads to. */
  follow(position: number): number {
    this.need(position, OFFSET_BYTES);
    const distance = this.bytes.readUInt32LE(position);
    if (distance < OFFSET_BYTES) throw malformed("an offset leads nowhere");
    const target = position + distance;
    this.need(target, OFFSET_BYTES);
    return target;
  }

  /** Elements of `elementBytes` each: their count and where the first one lies. */
  vector(position: number, elementBytes: number): { readonly start: number; readonly count: number } {
    this.need(position, OFFSET_BYTES);
    const count = this.bytes.readUInt32LE(position);
    const start = position + OFFSET_BYTES;
    this.need(start, count * elementBytes);
    return { start, count };
  }

  /** The bytes of a string, which stay part of the buffer. */
  text(position: number): Buffer {
    const { start, count } = this.vector(position, 1);
    this.need(start, count + 1);
    if (this.bytes[start + count] !== 0) throw malformed("a text is not terminated");
    this.#textBytesLeft -= count;
    if (this.#textBytesLeft < 0) {
      throw refuseZtocSize("ztoc-too-large", "its entries share texts that are larger than itself");
    }
    return this.bytes.subarray(start, start + count);
  }

  need(position: number, length: number): void {
    // Both are sums and products of 32-bit numbers, which a double holds exactly.
    if (position < 0 || position + length > this.bytes.length) throw malformed("an offset leads outside");
  }
}

export class FlatTable {
  readonly buffer: FlatBuffer;
  readonly #position: number;
  readonly #vtable: number;
  readonly #vtableBytes: number;
  readonly #tableBytes: number;

  constructor(buffer: FlatBuffer, position: number) {
    buffer.need(position, OFFSET_BYTES);
    const vtable = position - buffer.bytes.readInt32LE(position);
    buffer.need(vtable, VTABLE_HEADER);
    const vtableBytes = buffer.bytes.readUInt16LE(vtable);
    const tableBytes = buffer.bytes.readUInt16LE(vtable + 2);
    if (vtableBytes < VTABLE_HEADER || vtableBytes % 2 !== 0 || tableBytes < OFFSET_BYTES) {
      throw malformed("a vtable has an impossible size");
    }
    buffer.need(vtable, vtableBytes);
    buffer.need(position, tableBytes);
    this.buffer = buffer;
    this.#position = position;
    this.#vtable = vtable;
    this.#vtableBytes = vtableBytes;
    this.#tableBytes = tableBytes;
  }

  int8(field: number, absent: number): number {
    const at = this.#place(field, 1);
    return at === undefined ? absent : this.buffer.bytes.readInt8(at);
  }

  int32(field: number): number {
    const at = this.#place(field, 4);
    return at === undefined ? 0 : this.buffer.bytes.readInt32LE(at);
  }

  uint32(field: number): number {
    const at = this.#place(field, 4);
    return at === undefined ? 0 : this.buffer.bytes.readUInt32LE(at);
  }

  int64(field: number): bigint {
    const at = this.#place(field, 8);
    return at === undefined ? 0n : this.buffer.bytes.readBigInt64LE(at);
  }

  /** Empty where it is absent. */
  text(field: number): Buffer {
    const at = this.#place(field, OFFSET_BYTES);
    return at === undefined ? Buffer.alloc(0) : this.buffer.text(this.buffer.follow(at));
  }

  byteVector(field: number): Buffer {
    const at = this.#place(field, OFFSET_BYTES);
    if (at === undefined) return Buffer.alloc(0);
    const { start, count } = this.buffer.vector(this.buffer.follow(at), 1);
    return this.buffer.bytes.subarray(start, start + count);
  }

  table(field: number): FlatTable | undefined {
    const at = this.#place(field, OFFSET_BYTES);
    return at === undefined ? undefined : new FlatTable(this.buffer, this.buffer.follow(at));
  }

  /** A vector of tables or texts: how many, and where the offset of each one lies. */
  offsets(field: number): { readonly count: number; readonly at: (index: number) => number } {
    const at = this.#place(field, OFFSET_BYTES);
    if (at === undefined) return { count: 0, at: () => 0 };
    const { start, count } = this.buffer.vector(this.buffer.follow(at), OFFSET_BYTES);
    return { count, at: (index) => this.buffer.follow(start + index * OFFSET_BYTES) };
  }

  #place(field: number, width: number): number | undefined {
    const slot = VTABLE_HEADER + field * 2;
    if (slot + 2 > this.#vtableBytes) return undefined;
    const offset = this.buffer.bytes.readUInt16LE(this.#vtable + slot);
    if (offset === 0) return undefined;
    if (offset < OFFSET_BYTES || offset + width > this.#tableBytes) {
      throw malformed("a field lies outside its table");
    }
    return this.#position + offset;
  }
}

function malformed(problem: string): Error {
  return refuseZtoc("ztoc-flatbuffer", problem);
}
