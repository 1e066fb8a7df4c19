import { delay } from "../async/index.js";

/** Time and chance, as the room needs them; tests bring their own. */
export interface Clock {
  /** Milliseconds that never go back: for intervals. */
  monotonicMs(): number;
  /** Milliseconds since 1970: only to read the dates of others. */
  epochMs(): number;
  delay(milliseconds: number, options: { signal?: AbortSignal | undefined }): Promise<void>;
  /** From 0 to 1. */
  random(): number;
}

export const systemClock: Clock = {
  monotonicMs: () => performance.now(),
  epochMs: () => Date.now(),
  delay,
  random: () => Math.random(),
};
