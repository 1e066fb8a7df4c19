import { BoundedMap } from "./bounded-map.js";
import type { Clock } from "./clock.js";
import { AVOID_MS, HOSTS_MAX } from "./limits.js";
import { type SlotFigures, Slots } from "./slots.js";

interface HostState {
  readonly slots: Slots;
  /** Monotonic times: not asked before, and asked after the others until. */
  retryAtMs: number;
  avoidUntilMs: number;
  ranges: boolean;
}

/** What one host is asked now. */
export interface HostFigures extends SlotFigures {
  readonly origin: string;
}

/** What is remembered about each host (by origin) across all blobs. */
export class HostStates {
  readonly #states = new BoundedMap<string, HostState>({ entriesMax: HOSTS_MAX });
  readonly #clock: Clock;
  readonly #requestsPerHostMax: number;
  readonly #requestsPerSecondMax: number;

  /** `requestsPerSecondMax` 0: no limit. */
  constructor(options: { clock: Clock; requestsPerHostMax: number; requestsPerSecondMax: number }) {
    this.#clock = options.clock;
    this.#requestsPerHostMax = options.requestsPerHostMax;
    this.#requestsPerSecondMax = options.requestsPerSecondMax;
  }

  /** By origin. */
  get figures(): readonly HostFigures[] {
    return Array.from(this.#states.entries(), ([origin, { slots }]) => ({ origin, ...slots.figures }));
  }

  slots(origin: string): Slots {
    return this.#state(origin).slots;
  }

  /** The host asked for a pause (`Retry-After`). */
  pause(origin: string, waitMs: number): void {
    const state = this.#state(origin);
    state.retryAtMs = Math.max(state.retryAtMs, this.#clock.monotonicMs() + waitMs);
  }

  pausedMs(origin: string): number {
    return Math.max(0, this.#state(origin).retryAtMs - this.#clock.monotonicMs());
  }

  /** The host could not be reached. */
  avoid(origin: string): void {
    this.#state(origin).avoidUntilMs = this.#clock.monotonicMs() + AVOID_MS;
  }

  isAvoided(origin: string): boolean {
    return this.#state(origin).avoidUntilMs > this.#clock.monotonicMs();
  }

  /** The host answered a range with the whole blob, or (`true`) with the range. */
  noteRanges(origin: string, supported: boolean): void {
    this.#state(origin).ranges = supported;
  }

  supportsRanges(origin: string): boolean {
    return this.#state(origin).ranges;
  }

  #state(origin: string): HostState {
    let state = this.#states.get(origin);
    if (state === undefined) {
      const slots = new Slots({
        slotsMax: this.#requestsPerHostMax,
        perSecondMax: this.#requestsPerSecondMax,
        clock: this.#clock,
      });
      state = { slots, retryAtMs: 0, avoidUntilMs: 0, ranges: true };
      this.#states.set(origin, state);
    }
    return state;
  }
}
