import { assert } from "../errors/index.js";

const START_BYTES = 64 * 1024;

/** Numbers (little endian) and texts with a length before them, for the addon. Grows as it is written. */
export class RecordWriter {
  #bytes = Buffer.allocUnsafe(START_BYTES);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** A view; not to be kept when more is written. */
  get bytes(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }

  byte(value: number): void {
    this.#room(1);
    this.#length = this.#bytes.writeUInt8(value, this.#length);
  }

  word(value: number): void {
    this.#room(4);
    this.#length = this.#bytes.writeUInt32LE(value >>> 0, this.#length);
  }

  number64(value: number | bigint): void {
    this.#room(8);
    this.#length = this.#bytes.writeBigInt64LE(BigInt(value), this.#length);
  }

  /** One byte a character, or bytes. */
  text(value: string | Uint8Array): void {
    this.word(value.length);
    this.#room(value.length);
    if (typeof value === "string") this.#bytes.write(value, this.#length, "latin1");
    else this.#bytes.set(value, this.#length);
    this.#length += value.length;
  }

  #room(count: number): void {
    assert(count >= 0, "a length is a count");
    if (this.#length + count <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafe(Math.max(this.#bytes.length * 2, this.#length + count));
    this.#bytes.copy(larger, 0, 0, this.#length);
    this.#bytes = larger;
  }
}
