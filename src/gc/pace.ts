import { setImmediate as turn } from "node:timers/promises";

/** Gives others the event loop between slices of long work. */
export class Pace {
  readonly #signal: AbortSignal | undefined;
  readonly #sliceMs: number;
  #sliceEndsAt: number;

  constructor(options: { readonly signal: AbortSignal | undefined; readonly sliceMs: number }) {
    this.#signal = options.signal;
    this.#sliceMs = options.sliceMs;
    this.#sliceEndsAt = performance.now() + options.sliceMs;
  }

  /** Waits for a turn when the slice is over. @throws the signal's reason */
  async rest(): Promise<void> {
    this.#signal?.throwIfAborted();
    if (performance.now() < this.#sliceEndsAt) return;
    await turn();
    this.#signal?.throwIfAborted();
    this.#sliceEndsAt = performance.now() + this.#sliceMs;
  }
}
