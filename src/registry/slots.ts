import { resourceExhausted } from "../errors/index.js";
import { WAITING_REQUESTS_MAX } from "./limits.js";

/** A bounded number of places, given out in the order of asking. */
export class Slots {
  readonly #slotsMax: number;
  readonly #waiting = new Set<() => void>();
  #taken = 0;

  constructor(slotsMax: number) {
    this.#slotsMax = slotsMax;
  }

  /** Waits for a place and gives the function that frees it. @throws RESOURCE_EXHAUSTED, the signal's reason */
  async take(signal: AbortSignal | undefined): Promise<() => void> {
    signal?.throwIfAborted();
    if (this.#taken < this.#slotsMax) this.#taken += 1;
    else await this.#wait(signal);
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      const next = this.#waiting.values().next().value;
      if (next === undefined) this.#taken -= 1;
      else next();
    };
  }

  /** Resolves with the place of the one who leaves, so the count of taken places stays as it is. */
  async #wait(signal: AbortSignal | undefined): Promise<void> {
    if (this.#waiting.size >= WAITING_REQUESTS_MAX) {
      throw resourceExhausted(
        `Cannot queue a request: want fewer than ${WAITING_REQUESTS_MAX} waiting, got that many`,
        { reason: "too-many-waiting" },
      );
    }
    await new Promise<void>((resolve, reject) => {
      const granted = (): void => {
        this.#waiting.delete(granted);
        signal?.removeEventListener("abort", aborted);
        resolve();
      };
      const aborted = (): void => {
        this.#waiting.delete(granted);
        reject(signal?.reason);
      };
      this.#waiting.add(granted);
      signal?.addEventListener("abort", aborted, { once: true });
    });
  }
}
