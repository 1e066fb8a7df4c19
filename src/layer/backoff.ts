import type { Clock } from "./clock.js";

export interface BackoffOptions {
  readonly clock: Clock;
  /** Spreads the pauses: a number from 0 to 1. */
  readonly random: () => number;
  readonly firstMs: number;
  readonly longestMs: number;
}

/** Pauses after failures in a row: each twice the last, at most `longestMs`, of which half is left to chance. */
export class Backoff {
  readonly #options: BackoffOptions;
  #failures = 0;
  #until = Number.NEGATIVE_INFINITY;

  constructor(options: BackoffOptions) {
    this.#options = options;
  }

  get isPausing(): boolean {
    return this.#options.clock.now() < this.#until;
  }

  succeeded(): void {
    this.#failures = 0;
    this.#until = Number.NEGATIVE_INFINITY;
  }

  /** Returns how long to wait from now. Failures of requests that ran side by side count as one. */
  failed(): number {
    const { clock, random, firstMs, longestMs } = this.#options;
    const now = clock.now();
    if (now < this.#until) return this.#until - now;
    const fullMs = Math.min(longestMs, firstMs * 2 ** Math.min(this.#failures, 30));
    const pauseMs = fullMs / 2 + (fullMs / 2) * random();
    this.#failures += 1;
    this.#until = now + pauseMs;
    return pauseMs;
  }
}
