/** Bytes that one side pushes and the other iterates over, once. */
export class ByteQueue implements AsyncIterable<Uint8Array> {
  readonly #pieces: Uint8Array[] = [];
  readonly #onFull: () => void;
  readonly #onDrained: () => void;
  #bytes = 0;
  #isEnded = false;
  #isFull = false;
  #wake: () => void = () => undefined;

  /** `onFull` is called when the reader is behind, `onDrained` when it has caught up: the connection is paused between. */
  constructor(options: { readonly onFull: () => void; readonly onDrained: () => void }) {
    this.#onFull = options.onFull;
    this.#onDrained = options.onDrained;
  }

  push(bytes: Uint8Array): void {
    if (this.#isEnded || bytes.length === 0) return;
    this.#pieces.push(bytes);
    this.#bytes += bytes.length;
    if (!this.#isFull && this.#bytes > QUEUE_BYTES_MAX) {
      this.#isFull = true;
      this.#onFull();
    }
    this.#wake();
  }

  /** The reader gets what is there and then the end. */
  end(): void {
    this.#isEnded = true;
    this.#wake();
  }

  /** Nobody reads any more: what is there is dropped, and what comes too. */
  discard(): void {
    this.#isEnded = true;
    this.#pieces.length = 0;
    this.#bytes = 0;
    this.#drained();
    this.#wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    try {
      for (;;) {
        const piece = this.#pieces.shift();
        if (piece !== undefined) {
          this.#bytes -= piece.length;
          if (this.#bytes === 0) this.#drained();
          yield piece;
          continue;
        }
        if (this.#isEnded) return;
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    } finally {
      this.discard();
    }
  }

  #drained(): void {
    if (!this.#isFull) return;
    this.#isFull = false;
    this.#onDrained();
  }
}

/** Bytes that wait for a reader; above it the connection they come from is paused. */
const QUEUE_BYTES_MAX = 256 * 1024;
