import { resourceExhausted } from "../errors/index.js";
import type { Clock } from "./clock.js";
import { REQUEST_BURST_SECONDS, WAITING_REQUESTS_MAX } from "./limits.js";

/** Why something is asked of a registry; the first ones go first where not all can. */
export const requestPriorities = ["demand", "pull", "prefetch", "background"] as const;
export type RequestPriority = (typeof requestPriorities)[number];

export interface SlotsOptions {
  /** Requests at once. */
  readonly slotsMax: number;
  /** Requests that may begin a second; 0: no limit. */
  readonly perSecondMax: number;
  readonly clock: Clock;
}

/** What one host is asked at once, and a second. */
export interface SlotFigures {
  readonly running: number;
  readonly waiting: number;
}

type Granted = () => void;

/** The requests that one host gets: so many at once and a second, by priority and then in the order of asking. */
export class Slots {
  readonly #options: SlotsOptions;
  readonly #waiting = requestPriorities.map(() => new Set<Granted>());
  #taken = 0;
  /** Requests that may begin now, and when that was counted. */
  #tokens: number;
  #countedMs: number;
  #isTimed = false;

  constructor(options: SlotsOptions) {
    this.#options = options;
    this.#tokens = this.#burst;
    this.#countedMs = options.clock.monotonicMs();
  }

  get figures(): SlotFigures {
    return { running: this.#taken, waiting: this.#waitingCount };
  }

  /** Waits for a place and gives the function that frees it. @throws RESOURCE_EXHAUSTED, the signal's reason */
  async take(signal: AbortSignal | undefined, priority: RequestPriority = "pull"): Promise<() => void> {
    signal?.throwIfAborted();
    if (this.#waitingCount > 0 || !this.#takeNow()) await this.#wait(signal, priority);
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      this.#taken -= 1;
      this.#grant();
    };
  }

  get #waitingCount(): number {
    return this.#waiting.reduce((sum, waiting) => sum + waiting.size, 0);
  }

  get #burst(): number {
    return Math.max(1, this.#options.perSecondMax * REQUEST_BURST_SECONDS);
  }

  #takeNow(): boolean {
    const { slotsMax, perSecondMax } = this.#options;
    if (this.#taken >= slotsMax) return false;
    if (perSecondMax > 0 && !this.#takeToken()) return false;
    this.#taken += 1;
    return true;
  }

  #takeToken(): boolean {
    const { clock, perSecondMax } = this.#options;
    const now = clock.monotonicMs();
    this.#tokens = Math.min(this.#burst, this.#tokens + ((now - this.#countedMs) * perSecondMax) / 1000);
    this.#countedMs = now;
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }

  /** Gives places to those that wait, while there are some. */
  #grant(): void {
    for (;;) {
      const next = this.#waiting
        .find((waiting) => waiting.size > 0)
        ?.values()
        .next().value;
      if (next === undefined) return;
      if (!this.#takeNow()) break;
      next();
    }
    if (this.#taken < this.#options.slotsMax) this.#grantLater();
  }

  /** A place is free, and the next request may not begin yet. */
  #grantLater(): void {
    if (this.#isTimed) return;
    this.#isTimed = true;
    const { clock, perSecondMax } = this.#options;
    const waitMs = Math.max(1, ((1 - this.#tokens) * 1000) / perSecondMax);
    void clock.delay(waitMs, {}).then(() => {
      this.#isTimed = false;
      this.#grant();
    });
  }

  async #wait(signal: AbortSignal | undefined, priority: RequestPriority): Promise<void> {
    if (this.#waitingCount >= WAITING_REQUESTS_MAX) {
      throw resourceExhausted(
        `Cannot queue a request: want fewer than ${WAITING_REQUESTS_MAX} waiting, got that many`,
        { reason: "too-many-waiting" },
      );
    }
    const waiting = this.#waiting[requestPriorities.indexOf(priority)]!;
    await new Promise<void>((resolve, reject) => {
      const granted = (): void => {
        waiting.delete(granted);
        signal?.removeEventListener("abort", aborted);
        resolve();
      };
      const aborted = (): void => {
        waiting.delete(granted);
        reject(signal?.reason);
      };
      waiting.add(granted);
      signal?.addEventListener("abort", aborted, { once: true });
      this.#grant();
    });
  }
}
