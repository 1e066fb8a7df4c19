import type { Miss, Refusal } from "../fuse/index.js";
import type { Clock, Timer } from "./clock.js";
import type { LayerFetcher } from "./layer-fetcher.js";
import type { UnitRange } from "./layer-record.js";
import {
  BACKGROUND_QUIET_MS,
  BACKGROUND_REQUESTS_MAX,
  BACKGROUND_RETRY_FIRST_MS,
  BYTES_IN_FLIGHT_MAX,
  DEMAND_REQUESTS_MAX,
  DEMAND_REQUESTS_PER_LAYER_MAX,
  PREFETCH_REQUESTS_MAX,
} from "./limits.js";
import type { RequestPlan } from "./plan-request.js";
import type { Transfer } from "./transfer.js";

export interface SchedulerOptions {
  readonly clock: Clock;
  readonly backgroundFill: boolean;
}

export interface SchedulerFigures {
  readonly waitingReads: number;
  readonly demandRequests: number;
  readonly prefetchRequests: number;
  readonly backgroundRequests: number;
  readonly bytesInFlight: number;
}

/** Decides which layer may make its next request: reads that wait, then prefetch ranges, then the background. */
export class Scheduler {
  readonly #options: SchedulerOptions;
  readonly #fetchers = new Map<number, LayerFetcher>();
  /** Layers that have reads waiting, or had when last looked at; in turn. */
  readonly #hungry = new Set<LayerFetcher>();
  readonly #prefetching = new Set<LayerFetcher>();
  /** Layers that the background has not filled, in turn. */
  readonly #unfilled = new Set<LayerFetcher>();
  /** Requests, with whose they are; those that ended leave at the next look. */
  readonly #running = new Map<Transfer, LayerFetcher>();
  #isWoken = false;
  #isClosed = false;
  #busyAt: number;
  #quiet: Timer | undefined;

  constructor(options: SchedulerOptions) {
    this.#options = options;
    this.#busyAt = options.clock.now();
  }

  get figures(): SchedulerFigures {
    this.#sweep();
    return {
      waitingReads: [...this.#hungry].reduce((sum, fetcher) => sum + fetcher.waitingReads, 0),
      demandRequests: this.#count("demand"),
      prefetchRequests: this.#count("prefetch"),
      backgroundRequests: this.#count("background"),
      bytesInFlight: this.#bytesInFlight(),
    };
  }

  add(number: number, fetcher: LayerFetcher): void {
    this.#fetchers.set(number, fetcher);
    if (fetcher.isIncomplete) this.#unfilled.add(fetcher);
    this.wake();
  }

  /** Asks for units of a layer, in this order, when nobody waits for other bytes. */
  prefetch(fetcher: LayerFetcher, ranges: readonly UnitRange[]): void {
    fetcher.prefetch(ranges);
    this.#prefetching.add(fetcher);
    this.wake();
  }

  remove(number: number): void {
    const fetcher = this.#fetchers.get(number);
    this.#fetchers.delete(number);
    if (fetcher === undefined) return;
    for (const set of [this.#hungry, this.#prefetching, this.#unfilled]) set.delete(fetcher);
  }

  onMiss(misses: readonly Miss[]): void {
    this.#busyAt = this.#options.clock.now();
    for (const miss of misses) {
      const fetcher = this.#fetchers.get(miss.layer);
      if (fetcher === undefined) continue;
      fetcher.demand(miss.read, miss.firstUnit, miss.lastUnit);
      this.#hungry.add(fetcher);
      if (fetcher.isIncomplete) this.#unfilled.add(fetcher);
    }
    this.wake();
  }

  onInterrupt(reads: readonly bigint[]): void {
    for (const read of reads) {
      for (const fetcher of this.#hungry) if (fetcher.interrupt(read)) break;
    }
    this.wake();
  }

  onDamaged(damaged: readonly { layer: number; unit: number }[]): void {
    for (const { layer, unit } of damaged) {
      const fetcher = this.#fetchers.get(layer);
      if (fetcher === undefined) continue;
      fetcher.damaged(unit);
      this.#unfilled.add(fetcher);
    }
    this.wake();
  }

  onRefused(refused: readonly Refusal[]): void {
    for (const { layer, reads, reason } of refused) this.#fetchers.get(layer)?.refused(reads, reason);
  }

  /** Looks once, after what runs now, whether requests can start. */
  wake(): void {
    if (this.#isWoken || this.#isClosed) return;
    this.#isWoken = true;
    queueMicrotask(() => {
      this.#isWoken = false;
      if (!this.#isClosed) this.#startAll();
    });
  }

  /** Starts nothing any more; requests that run are the fetchers' to end. */
  close(): void {
    this.#isClosed = true;
    this.#quiet?.cancel();
  }

  #startAll(): void {
    this.#sweep();
    this.#startDemands();
    this.#startPrefetches();
    this.#startBackground();
  }

  #sweep(): void {
    for (const [transfer, fetcher] of this.#running) {
      if (fetcher.transfers.has(transfer)) continue;
      this.#running.delete(transfer);
      if (transfer.priority !== "background") this.#busyAt = this.#options.clock.now();
    }
    for (const fetcher of this.#hungry) if (fetcher.waitingReads === 0) this.#hungry.delete(fetcher);
    for (const fetcher of this.#prefetching) if (!fetcher.hasPrefetch) this.#prefetching.delete(fetcher);
  }

  /** Layers take turns, one request each, so that a layer with many readers does not keep out the others. */
  #startDemands(): void {
    for (let hasStarted = true; hasStarted; ) {
      hasStarted = false;
      for (const fetcher of [...this.#hungry]) {
        const plan = fetcher.planDemand();
        if (plan === undefined) continue;
        if (!this.#hasRoomForDemand(fetcher, plan)) {
          this.#cutReadahead();
          continue;
        }
        this.#start(fetcher, plan, "demand");
        hasStarted = true;
        // The next look begins with the layers that had to wait.
        this.#hungry.delete(fetcher);
        this.#hungry.add(fetcher);
      }
    }
  }

  #hasRoomForDemand(fetcher: LayerFetcher, plan: RequestPlan): boolean {
    const ofLayer = [...fetcher.transfers].filter((transfer) => transfer.priority === "demand").length;
    return (
      ofLayer < DEMAND_REQUESTS_PER_LAYER_MAX &&
      this.#count("demand") < DEMAND_REQUESTS_MAX &&
      this.#hasMemory(plan)
    );
  }

  /** A read waits for a place: one request whose own readers are served, and that only reads ahead, makes way. */
  #cutReadahead(): void {
    for (const [transfer, fetcher] of this.#running) {
      if (transfer.priority === "demand" && fetcher.cutIfUnwanted(transfer)) return;
    }
  }

  #startPrefetches(): void {
    for (const fetcher of this.#prefetching) {
      while (this.#count("prefetch") < PREFETCH_REQUESTS_MAX) {
        const plan = fetcher.planPrefetch();
        if (plan === undefined || !this.#hasMemory(plan)) break;
        this.#start(fetcher, plan, "prefetch");
      }
    }
  }

  #startBackground(): void {
    const { clock, backgroundFill } = this.#options;
    if (!backgroundFill || this.#unfilled.size === 0) return;
    if (this.#count("background") >= BACKGROUND_REQUESTS_MAX) return;
    // The end of what runs now wakes the scheduler again.
    if (this.#running.size > 0) return;
    const waitMs = this.#busyAt + BACKGROUND_QUIET_MS - clock.now();
    if (waitMs > 0) {
      this.#wakeAfter(waitMs);
      return;
    }
    for (const fetcher of this.#unfilled) {
      const plan = fetcher.planBackground();
      if (plan !== undefined) {
        this.#start(fetcher, plan, "background");
        return;
      }
      if (!fetcher.isIncomplete) this.#unfilled.delete(fetcher);
    }
    if (this.#unfilled.size > 0) this.#wakeAfter(BACKGROUND_RETRY_FIRST_MS);
  }

  #start(fetcher: LayerFetcher, plan: RequestPlan, priority: Transfer["priority"]): void {
    this.#running.set(fetcher.start(plan, priority), fetcher);
    if (priority !== "background") this.#busyAt = this.#options.clock.now();
  }

  #wakeAfter(milliseconds: number): void {
    this.#quiet?.cancel();
    this.#quiet = this.#options.clock.after(milliseconds, () => this.wake());
  }

  #hasMemory(plan: RequestPlan): boolean {
    const used = this.#bytesInFlight();
    return used === 0 || used + plan.length <= BYTES_IN_FLIGHT_MAX;
  }

  #bytesInFlight(): number {
    let sum = 0;
    for (const transfer of this.#running.keys()) sum += transfer.length;
    return sum;
  }

  #count(priority: Transfer["priority"]): number {
    let count = 0;
    for (const transfer of this.#running.keys()) if (transfer.priority === priority) count += 1;
    return count;
  }
}
