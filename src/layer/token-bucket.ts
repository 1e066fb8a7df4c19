import type { Clock } from "./clock.js";

/**
 * Bytes that may be asked for in time: what one second allows at once, and after that as the rate goes. A request larger
 * than what is left is let through and owed.
 */
export class TokenBucket {
  readonly #clock: Clock;
  readonly #bytesPerSecond: number;
  #left: number;
  #at: number;

  constructor(options: {
    readonly clock: Clock;
    /** 0: no limit. */
    readonly bytesPerSecond: number;
  }) {
    this.#clock = options.clock;
    this.#bytesPerSecond = options.bytesPerSecond;
    this.#left = options.bytesPerSecond;
    this.#at = options.clock.now();
  }

  /** Until the next request may start; 0: now. */
  get waitMs(): number {
    if (this.#bytesPerSecond === 0) return 0;
    this.#fill();
    return this.#left > 0 ? 0 : Math.ceil(((1 - this.#left) * 1000) / this.#bytesPerSecond);
  }

  /** Most bytes of one request, so that a slow rate is not paid in seconds of silence. */
  get requestBytesMax(): number {
    return this.#bytesPerSecond === 0 ? Number.POSITIVE_INFINITY : this.#bytesPerSecond;
  }

  take(bytes: number): void {
    this.#fill();
    this.#left -= bytes;
  }

  #fill(): void {
    const now = this.#clock.now();
    const gained = ((now - this.#at) * this.#bytesPerSecond) / 1000;
    this.#left = Math.min(this.#bytesPerSecond, this.#left + gained);
    this.#at = now;
  }
}
