import type { Clock, Timer } from "./clock.js";
import {
  BYTES_IN_FLIGHT_MAX,
  BYTES_IN_FLIGHT_MIN,
  BYTES_IN_FLIGHT_SHARE,
  MEMORY_LOOK_MS,
  MEMORY_STALL_PERCENT,
} from "./limits.js";
import { type MemoryFacts, memoryFacts } from "./memory-facts.js";

/** In bytes. */
export interface MemoryFigures {
  /** Of the process's group, or the machine. */
  readonly limitBytes: number;
  readonly freeBytes: number;
  /** What running requests may hold now. */
  readonly bytesInFlightMax: number;
}

export interface MemoryBudgetOptions {
  readonly clock: Clock;
  readonly look?: () => Promise<MemoryFacts>;
  /** The part, 0 to 1, of what is used where memory is plenty. */
  readonly onChange: (share: number) => void;
}

/** What running requests may hold, by how much memory there is. Looks every second. */
export class MemoryBudget {
  readonly #options: MemoryBudgetOptions;
  #facts: MemoryFacts | undefined;
  #bytesInFlightMax = BYTES_IN_FLIGHT_MAX;
  #timer: Timer | undefined;
  #isClosed = false;

  constructor(options: MemoryBudgetOptions) {
    this.#options = options;
    this.#lookLater();
  }

  get bytesInFlightMax(): number {
    return this.#bytesInFlightMax;
  }

  get figures(): MemoryFigures {
    return {
      limitBytes: this.#facts?.limitBytes ?? 0,
      freeBytes: this.#facts?.freeBytes ?? 0,
      bytesInFlightMax: this.#bytesInFlightMax,
    };
  }

  async look(): Promise<void> {
    const { look = memoryFacts, onChange } = this.#options;
    const facts = await look();
    this.#facts = facts;
    const bytes = bytesInFlightFor(facts);
    if (this.#isClosed || bytes === this.#bytesInFlightMax) return;
    this.#bytesInFlightMax = bytes;
    onChange(bytes / BYTES_IN_FLIGHT_MAX);
  }

  close(): void {
    this.#isClosed = true;
    this.#timer?.cancel();
  }

  #lookLater(): void {
    this.#timer = this.#options.clock.after(MEMORY_LOOK_MS, () => {
      void this.look()
        // What can't be read limits nothing.
        .catch(() => undefined)
        .finally(() => {
          if (!this.#isClosed) this.#lookLater();
        });
    });
  }
}

/** A part of what is free, in steps of a power of two, so that small changes change nothing. */
export function bytesInFlightFor({ freeBytes, stallPercent }: MemoryFacts): number {
  const part = freeBytes * BYTES_IN_FLIGHT_SHARE * (stallPercent >= MEMORY_STALL_PERCENT ? 0.5 : 1);
  const step = 2 ** Math.floor(Math.log2(Math.max(part, 1)));
  return Math.min(BYTES_IN_FLIGHT_MAX, Math.max(BYTES_IN_FLIGHT_MIN, step));
}
