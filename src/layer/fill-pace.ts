import {
  BACKGROUND_REQUEST_BYTES_MAX,
  BACKGROUND_REQUESTS_MAX,
  FILL_WAIT_FACTOR,
  FILL_WAIT_SLACK_MS,
  REQUEST_BYTES_MAX,
} from "./limits.js";

/** Weight of the latest read in the usual wait. */
const BASELINE_WEIGHT = 1 / 8;

/**
 * How hard the background may use the link: one request more for each round that hurts nobody, half as many when a read
 * waits longer than reads do without it, and none before it is quiet when that is less than one.
 */
export class FillPace {
  #width = 1;
  #baselineMs: number | undefined;
  #isHeld = true;
  #hurts = 0;

  /** Requests that may run at once. */
  get requests(): number {
    return Math.floor(this.#width);
  }

  get requestBytesMax(): number {
    return Math.min(REQUEST_BYTES_MAX, BACKGROUND_REQUEST_BYTES_MAX * this.requests);
  }

  /** Nothing may start before nobody has waited for a while. */
  get isHeld(): boolean {
    return this.#isHeld;
  }

  hold(): void {
    this.#isHeld = true;
  }

  started(): void {
    this.#isHeld = false;
  }

  /** How often a read was delayed. */
  get hurts(): number {
    return this.#hurts;
  }

  /** A request came whole, and no read was delayed meanwhile. */
  succeeded(): void {
    this.#width = Math.min(BACKGROUND_REQUESTS_MAX, this.#width + 1 / this.#width);
  }

  /** A read got its bytes after this wait. */
  waited(milliseconds: number, isFilling: boolean): void {
    if (!isFilling) {
      const usual = this.#baselineMs ?? milliseconds;
      this.#baselineMs = usual + (milliseconds - usual) * BASELINE_WEIGHT;
      return;
    }
    const usual = this.#baselineMs ?? 0;
    if (milliseconds > usual * FILL_WAIT_FACTOR + FILL_WAIT_SLACK_MS) this.hurt();
  }

  /** A read was delayed, or would have been if a request had not been cut for it. */
  hurt(): void {
    this.#hurts += 1;
    this.#width /= 2;
    if (this.#width >= 1) return;
    this.#width = 1;
    this.#isHeld = true;
  }
}
