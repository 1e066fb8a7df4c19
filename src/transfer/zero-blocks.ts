/**
 * Zeros are told in whole blocks of a file: a shorter run costs less in its chunk than an entry of the TOC and a frame of
 * its own. Bytes.
 */
export const ZERO_BLOCK_BYTES = 64 * 1024;
const ZEROS = Buffer.alloc(ZERO_BLOCK_BYTES);

export interface FilePart {
  readonly bytes: Buffer;
  readonly isZeros: boolean;
}

/**
 * Tells which blocks of a file's content are zeros. What is handed out is the content in order; at most one block waits
 * until all of it has come.
 */
export class ZeroBlocks {
  #left: number;
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #wasZeros = false;

  constructor(options: { readonly sizeBytes: number }) {
    this.#left = options.sizeBytes;
  }

  *push(bytes: Buffer): Generator<FilePart, void, undefined> {
    for (let at = 0; at < bytes.length; ) {
      const wanted = Math.min(ZERO_BLOCK_BYTES, this.#left) - this.#waitingBytes;
      const piece = bytes.subarray(at, at + wanted);
      at += piece.length;
      this.#waiting.push(piece);
      this.#waitingBytes += piece.length;
      if (piece.length === wanted) yield* this.#takeBlock();
    }
  }

  *#takeBlock(): Generator<FilePart, void, undefined> {
    const block = this.#waiting;
    const isWhole = this.#waitingBytes === ZERO_BLOCK_BYTES;
    // The end of a file is no block: it goes on with zeros, or belongs to what stands before it.
    const isZeros =
      (isWhole || this.#wasZeros) && block.every((piece) => piece.equals(ZEROS.subarray(0, piece.length)));
    this.#left -= this.#waitingBytes;
    this.#waiting = [];
    this.#waitingBytes = 0;
    this.#wasZeros = isZeros;
    for (const bytes of block) yield { bytes, isZeros };
  }
}
