import type { TarEntry } from "../tar/index.js";

const ZEROS = Buffer.alloc(256 * 1024);

/** Writes a sparse file whole: its regions as they come, and zeros for all between them. */
export class SparseContent {
  readonly #parts: readonly { readonly offset: number; readonly length: number }[];
  readonly #size: number;
  #part = 0;
  /** In the file. */
  #position = 0;
  #partDone = 0;

  constructor(entry: TarEntry) {
    this.#parts = (entry.sparse ?? []).filter(({ length }) => length > 0);
    this.#size = entry.size;
  }

  /** What comes next in the file, up to the end of these packed bytes. */
  *push(bytes: Buffer): Generator<Buffer, void, undefined> {
    for (let at = 0; at < bytes.length; ) {
      const part = this.#parts[this.#part]!;
      yield* this.#zerosTo(part.offset);
      const taken = Math.min(bytes.length - at, part.length - this.#partDone);
      yield bytes.subarray(at, at + taken);
      at += taken;
      this.#partDone += taken;
      this.#position += taken;
      if (this.#partDone < part.length) continue;
      this.#part += 1;
      this.#partDone = 0;
    }
  }

  /** The zeros at the end of the file. */
  *end(): Generator<Buffer, void, undefined> {
    yield* this.#zerosTo(this.#size);
  }

  *#zerosTo(offset: number): Generator<Buffer, void, undefined> {
    if (this.#partDone > 0) return;
    while (this.#position < offset) {
      const length = Math.min(ZEROS.length, offset - this.#position);
      yield ZEROS.subarray(0, length);
      this.#position += length;
    }
  }
}
