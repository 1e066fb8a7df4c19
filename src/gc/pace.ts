import { setImmediate as turn } from "node:timers/promises";

/** Longest work before others get their turn of the event loop. */
const SLICE_MS = 5;

/** Gives others the event loop between slices of long work. */
export class Pace {
  readonly #signal: AbortSignal | undefined;
  #sliceEndsAt = performance.now() + SLICE_MS;

  constructor(signal: AbortSignal | undefined) {
    this.#signal = signal;
  }

  get isDue(): boolean {
    return performance.now() >= this.#sliceEndsAt;
  }

  /** Waits for a turn when the slice is over. @throws the signal's reason */
  async rest(): Promise<void> {
    this.#signal?.throwIfAborted();
    if (!this.isDue) return;
    await turn();
    this.#signal?.throwIfAborted();
    this.#sliceEndsAt = performance.now() + SLICE_MS;
  }
}
