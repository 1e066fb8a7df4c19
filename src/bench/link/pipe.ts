/**
 * One direction of the link in virtual time: pieces leave one after another at the bandwidth that all connections
 * share, and each arrives a fixed delay after its last bit left. Times are milliseconds of any clock. Because a piece
 * is placed after the one before it and not after "now", late timers never add up.
 */
export class Pipe {
  readonly #delayMs: number;
  readonly #bitsPerMs: number;
  #busyUntilMs = 0;

  constructor(options: { delayMs: number; bitsPerSecond: number }) {
    this.#delayMs = options.delayMs;
    this.#bitsPerMs = options.bitsPerSecond / 1000;
  }

  /** When the last byte of a piece that is sent at `nowMs` arrives at the other end. */
  arrivalMs(nowMs: number, sizeBytes: number): number {
    const startMs = Math.max(nowMs, this.#busyUntilMs);
    this.#busyUntilMs = startMs + (sizeBytes * 8) / this.#bitsPerMs;
    return this.#busyUntilMs + this.#delayMs;
  }
}
