import type { TarEntry } from "./entry.js";
import { type TarNeed, TarParser } from "./tar-parser.js";

/** What a stream of an archive has, in its order. */
export type TarEvent =
  | { readonly kind: "entry"; readonly entry: TarEntry }
  /** The next bytes of the last entry's contents as they are packed: a piece of the pushed chunk, not a copy. */
  | { readonly kind: "content"; readonly bytes: Buffer };

const EMPTY = Buffer.alloc(0);

/**
 * Reads an archive that comes in chunks of any size. What follows its end is let through unread.
 *
 *     for await (const chunk of stream) for (const event of reader.push(chunk)) handle(event);
 *     reader.end();
 */
export class TarReader {
  readonly #parser = new TarParser();
  /** Bytes that the parser waits for and has in part: at most an extension header. */
  #held = EMPTY;
  #heldBytes = 0;
  #offset = 0;
  #contentEnd = 0;

  /** Bytes that were pushed. */
  get offset(): number {
    return this.#offset;
  }

  /** Must be iterated to its end before the next push. @throws what TarParser throws */
  *push(chunk: Buffer): Generator<TarEvent, void, undefined> {
    const base = this.#offset;
    this.#offset += chunk.length;
    let at = 0;
    while (at < chunk.length) {
      const position = base + at;
      if (position < this.#contentEnd) {
        const end = Math.min(chunk.length, this.#contentEnd - base);
        yield { kind: "content", bytes: chunk.subarray(at, end) };
        at = end;
        continue;
      }
      const need = this.#parser.need;
      if (need === undefined) return;
      if (position < need.offset) {
        at = Math.min(chunk.length, need.offset - base);
        continue;
      }
      const taken = Math.min(chunk.length - at, need.length - this.#heldBytes);
      const bytes = this.#take(chunk.subarray(at, at + taken), need);
      at += taken;
      if (bytes !== undefined) yield* this.#step(bytes);
    }
  }

  /** The stream has ended. @throws INVALID_ARGUMENT `tar-truncated` */
  end(): void {
    this.#parser.end(this.#offset);
  }

  *#step(bytes: Buffer): Generator<TarEvent, void, undefined> {
    const entry = this.#parser.step(bytes);
    if (entry !== undefined) {
      this.#contentEnd = entry.dataOffset + entry.packedSize;
      yield { kind: "entry", entry };
    }
    // An extension header may have no bytes.
    if (this.#parser.need?.length === 0) yield* this.#step(EMPTY);
  }

  /** What the parser needs, once it is all there. */
  #take(piece: Buffer, need: TarNeed): Buffer | undefined {
    if (this.#heldBytes === 0 && piece.length === need.length) return piece;
    // The chunk is the caller's again after the push. What is needed has a bound: TarParser checks claimed sizes.
    if (this.#heldBytes === 0) this.#held = Buffer.allocUnsafe(need.length);
    this.#heldBytes += piece.copy(this.#held, this.#heldBytes);
    if (this.#heldBytes < need.length) return undefined;
    const bytes = this.#held;
    this.#held = EMPTY;
    this.#heldBytes = 0;
    return bytes;
  }
}
