import type { LazuliError } from "../errors/index.js";
import type { Clock } from "./clock.js";
import type { Endpoint } from "./endpoint.js";
import { retryChannel } from "./events.js";
import { verdictOf } from "./failures.js";
import type { HostStates } from "./host-states.js";
import { ATTEMPTS_PER_READ_MAX } from "./limits.js";

export interface RetryPolicy {
  /** Rounds through the hosts without progress; then the last error is thrown. */
  readonly attempts: number;
  /** Wait after the first round; doubled after each further one, up to the maximum. */
  readonly minWaitMs: number;
  readonly maxWaitMs: number;
}

export interface RetryPlanOptions {
  /** In the order in which they should be asked; the last of `all` is the registry itself. */
  readonly ranked: readonly Endpoint[];
  readonly all: readonly Endpoint[];
  readonly policy: RetryPolicy;
  readonly clock: Clock;
  readonly hosts: HostStates;
}

/**
 * Who is asked next, and when. A host that fails is followed by the next one at once; only a round in which all
 * failed is followed by a wait. Hosts whose answer will not change are left out of later rounds.
 */
export class RetryPlan {
  readonly #options: RetryPlanOptions;
  readonly #tried = new Set<Endpoint>();
  readonly #refused = new Set<Endpoint>();
  readonly #errors = new Map<Endpoint, LazuliError>();
  #rounds = 0;
  #attempt = 0;
  #waitMs = 0;

  constructor(options: RetryPlanOptions) {
    this.#options = options;
  }

  /** Number of the current try, from 1. */
  get attempt(): number {
    return this.#attempt;
  }

  /** Waits until the next try is due. @throws the signal's reason */
  async next(signal: AbortSignal | undefined): Promise<Endpoint> {
    signal?.throwIfAborted();
    const { clock, hosts } = this.#options;
    if (this.#waitMs > 0) await clock.delay(this.#waitMs, { signal });
    this.#waitMs = 0;
    let best = this.#open()[0]!;
    for (const endpoint of this.#open()) {
      if (hosts.pausedMs(endpoint.origin) < hosts.pausedMs(best.origin)) best = endpoint;
    }
    const pausedMs = hosts.pausedMs(best.origin);
    if (pausedMs > 0) await clock.delay(pausedMs, { signal });
    this.#attempt += 1;
    return best;
  }

  /** Notes a failed try. @throws the error that ends the operation, when no further try makes sense */
  failed(endpoint: Endpoint, error: unknown, options: { progressed: boolean }): void {
    const verdict = verdictOf(error);
    if (verdict === undefined) throw error;
    const failure = error as LazuliError;
    this.#errors.set(endpoint, failure);
    this.#tried.add(endpoint);
    if (verdict === "elsewhere") this.#refused.add(endpoint);
    if (options.progressed) this.#rounds = 0;
    if (this.#open().length === 0) this.#endRound();
    if (this.#attempt >= ATTEMPTS_PER_READ_MAX) throw this.#finalError();
    retryChannel.publish({
      host: endpoint.host,
      reason: failure.reason ?? "",
      attempt: this.#attempt,
      waitMs: this.#waitMs,
    });
  }

  #open(): Endpoint[] {
    return this.#options.ranked.filter((one) => !this.#tried.has(one) && !this.#refused.has(one));
  }

  #endRound(): void {
    const { attempts, minWaitMs, maxWaitMs } = this.#options.policy;
    this.#rounds += 1;
    if (this.#rounds >= attempts || this.#refused.size === this.#options.ranked.length)
      throw this.#finalError();
    this.#tried.clear();
    const wait = Math.min(maxWaitMs, minWaitMs * 2 ** (this.#rounds - 1));
    // Between half and one and a half of it, so that many nodes don't come back at the same moment.
    this.#waitMs = wait * (0.5 + this.#options.clock.random());
  }

  /** What the registry itself said counts more than what its mirrors said. */
  #finalError(): LazuliError {
    const { all } = this.#options;
    for (let index = all.length - 1; index >= 0; index -= 1) {
      const error = this.#errors.get(all[index]!);
      if (error !== undefined) return error;
    }
    throw new Error("Invariant broken: a plan ended without an error");
  }
}
