import type { Miss, Refusal } from "../fuse/index.js";
import { BackgroundFill } from "./background-fill.js";
import type { Clock, Timer } from "./clock.js";
import type { LayerFetcher, PlannedRequest } from "./layer-fetcher.js";
import {
  BYTES_IN_FLIGHT_MAX,
  DEMAND_REQUESTS_MAX,
  DEMAND_REQUESTS_PER_LAYER_MAX,
  INTERRUPT_DISTANCE_BYTES,
  REPLAY_FLIGHT_BYTES_MAX,
  REPLAY_INDEX_QUIET_MS,
} from "./limits.js";
import type { RequestPlan } from "./plan-request.js";
import type { ReplayRequest } from "./replay.js";
import type { ReplayFigures, ReplayHandle, ReplayPlan } from "./replay-contract.js";
import type { TouchedStart } from "./replay-figures.js";
import { Replays } from "./replays.js";
import type { Transfer } from "./transfer.js";

export interface SchedulerOptions {
  readonly clock: Clock;
  readonly backgroundFill: boolean;
  /** Compressed bytes a second that the background may fetch; 0: no limit. */
  readonly fillBytesPerSecond: number;
  /** What requests may hold now; BYTES_IN_FLIGHT_MAX unless given. */
  readonly bytesInFlightMax?: () => number;
}

export interface SchedulerFigures {
  readonly waitingReads: number;
  readonly demandRequests: number;
  readonly prefetchRequests: number;
  readonly backgroundRequests: number;
  readonly bytesInFlight: number;
  /** Background requests that may run at once while nobody waits, and layers that are filled at full speed. */
  readonly fillRequestsAllowed: number;
  readonly urgentLayers: number;
  /** Running ones, and the latest that ended, which come first. */
  readonly replays: readonly ReplayFigures[];
}

/** A layer on its way to being ready. */
export interface Making extends Disposable {
  /** What is left to do needs no link. */
  indexRead(): void;
}

type Priority = Transfer["priority"];

/** Decides which layer may make its next request: reads that wait, then what replays expect, then the background. */
export class Scheduler {
  readonly #clock: Clock;
  readonly #bytesInFlightMax: () => number;
  readonly #fetchers = new Map<number, LayerFetcher>();
  /** Layers that have reads waiting, or had when last looked at; in turn. */
  readonly #hungry = new Set<LayerFetcher>();
  readonly #replays: Replays;
  readonly #fill: BackgroundFill;
  /** Requests, with whose they are; those that ended leave at the next look. */
  readonly #running = new Map<Transfer, LayerFetcher>();
  #isWoken = false;
  #isClosed = false;
  #busyAt: number;
  #later: Timer | undefined;
  /** Indexes that are being read, and when the last one was. */
  #indexReads = 0;
  #indexReadAt = Number.NEGATIVE_INFINITY;

  constructor(options: SchedulerOptions) {
    const { clock, backgroundFill, fillBytesPerSecond } = options;
    this.#bytesInFlightMax = options.bytesInFlightMax ?? (() => BYTES_IN_FLIGHT_MAX);
    this.#clock = clock;
    this.#replays = new Replays({ clock, wake: () => this.wake() });
    this.#fill = new BackgroundFill({ clock, isEnabled: backgroundFill, bytesPerSecond: fillBytesPerSecond });
    this.#busyAt = clock.now();
  }

  get figures(): SchedulerFigures {
    this.#sweep();
    return {
      waitingReads: [...this.#hungry].reduce((sum, fetcher) => sum + fetcher.waitingReads, 0),
      demandRequests: this.#count("demand"),
      prefetchRequests: this.#count("prefetch"),
      backgroundRequests: this.#count("background"),
      bytesInFlight: this.#bytesInFlight(),
      fillRequestsAllowed: this.#fill.requestsAllowed,
      urgentLayers: this.#fill.urgentLayers,
      replays: this.#replays.figures,
    };
  }

  add(number: number, fetcher: LayerFetcher): void {
    this.#fetchers.set(number, fetcher);
    this.#fill.add(fetcher);
    this.#replays.attach(fetcher);
    this.wake();
  }

  /** A layer is being made ready, until it is disposed of: its index has the link before what nobody waits for. */
  making(): Making {
    let isReading = true;
    this.#indexReads += 1;
    this.expectStart();
    const indexRead = (): void => {
      if (!isReading) return;
      isReading = false;
      this.#indexReads -= 1;
      this.#indexReadAt = this.#clock.now();
      this.wake();
    };
    return {
      indexRead,
      [Symbol.dispose]: () => {
        indexRead();
        this.expectStart();
      },
    };
  }

  /** A container is about to start: the background waits until it is quiet. */
  expectStart(): void {
    this.#busyAt = this.#clock.now();
    this.#fill.hold();
  }

  /** Asks for what a start is expected to read, in this order, when nobody waits for other bytes. */
  replay(plan: ReplayPlan, options: { readonly isHint: boolean }): ReplayHandle {
    return this.#replays.start(plan, options);
  }

  /** A start is over. */
  measureReplays(start: TouchedStart): void {
    this.#replays.measure(start);
  }

  remove(number: number): void {
    const fetcher = this.#fetchers.get(number);
    this.#fetchers.delete(number);
    if (fetcher === undefined) return;
    this.#hungry.delete(fetcher);
    this.#fill.remove(fetcher);
    this.#replays.detach(fetcher);
  }

  onMiss(misses: readonly Miss[]): void {
    this.#busyAt = this.#clock.now();
    for (const { layer, read, firstUnit: first, lastUnit: last } of misses) {
      const fetcher = this.#fetchers.get(layer);
      if (fetcher === undefined) continue;
      const isExpected = this.#replays.expecting(fetcher, { first, last }) !== undefined;
      const isWaiting = fetcher.demand({ read, first, last, isExpected });
      this.#hungry.add(fetcher);
      this.#fill.add(fetcher);
      this.#fill.touched(fetcher);
      if (isWaiting) this.#makeWay({ alsoReplays: false });
    }
    this.wake();
  }

  /** Reads have used units that were here, or that they have waited for. */
  onTouched(layer: number, units: readonly number[]): void {
    const fetcher = this.#fetchers.get(layer);
    if (fetcher === undefined) return;
    for (const unit of units) if (unit < fetcher.ledger.units.count) fetcher.touched.add(unit, unit);
    this.#fill.touched(fetcher);
    this.wake();
  }

  /** A read of a layer got its bytes. */
  onServed(waitedMs: number): void {
    this.#fill.waited(waitedMs, this.#count("background") > 0);
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
      this.#fill.add(fetcher);
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
    this.#later?.cancel();
    this.#replays.close();
  }

  #startAll(): void {
    this.#sweep();
    this.#startDemands();
    this.#startReplays();
    this.#startFill();
  }

  #sweep(): void {
    for (const [transfer, fetcher] of this.#running) {
      if (fetcher.transfers.has(transfer)) continue;
      this.#running.delete(transfer);
      if (transfer.priority !== "background") this.#busyAt = this.#clock.now();
      if (transfer.isWhole && transfer.priority === "prefetch") this.#replays.succeeded();
    }
    for (const fetcher of this.#hungry) if (fetcher.waitingReads === 0) this.#hungry.delete(fetcher);
  }

  /** Layers take turns, one request each, so that a layer with many readers does not keep out the others. */
  #startDemands(): void {
    for (let hasStarted = true; hasStarted; ) {
      hasStarted = false;
      for (const fetcher of [...this.#hungry]) {
        const request = fetcher.planDemand((plan, windowBytes) =>
          this.#replays
            .expecting(fetcher, { first: plan.firstUnit, last: plan.lastUnit })
            ?.carriedBy(fetcher, plan, windowBytes),
        );
        if (request === undefined) continue;
        if (!this.#hasRoomForDemand(fetcher, request.plan)) {
          this.#cutReadahead();
          continue;
        }
        this.#start(fetcher, request, "demand");
        // No replay had got there.
        this.#makeWay({ alsoReplays: true });
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

  /** A read came: what fills the link for nobody ends, unless its end is near. So do replays that are of no use to it. */
  #makeWay({ alsoReplays }: { readonly alsoReplays: boolean }): void {
    if (alsoReplays && !this.#replays.isEmpty) this.#replays.missed();
    let isFillCut = false;
    for (const [transfer, fetcher] of this.#running) {
      if (transfer.bytesLeft <= INTERRUPT_DISTANCE_BYTES) continue;
      const isFill = transfer.priority === "background" && !this.#fill.isUrgent(fetcher);
      if (!isFill && (transfer.priority !== "prefetch" || !alsoReplays)) continue;
      if (fetcher.cutIfUnwanted(transfer) && isFill) isFillCut = true;
    }
    if (isFillCut) this.#fill.wasCut();
  }

  #startReplays(): void {
    for (const fetcher of this.#hungry) if (fetcher.hasUnexpectedReads) return;
    const isReading = this.#indexReads > 0 || this.#clock.now() < this.#indexReadAt + REPLAY_INDEX_QUIET_MS;
    while (this.#count("prefetch") < (isReading ? 1 : this.#replays.requestsMax)) {
      const next = this.#replays.next();
      if (next === undefined || !this.#hasMemory(next.request.plan)) return;
      if (!this.#hasLinkFor(next.request)) return;
      if (!next.request.fetcher.room.admits(next.request.plan, "prefetch")) return;
      const { replay, request } = next;
      replay.started(request, this.#start(request.fetcher, request, "prefetch"));
    }
  }

  /** Whether a replay's request would still be short behind those that run. */
  #hasLinkFor({ fetcher, plan }: ReplayRequest): boolean {
    let bytesLeft = 0;
    for (const transfer of this.#running.keys()) {
      if (transfer.priority === "prefetch") bytesLeft += transfer.bytesLeft;
    }
    const bytesMax = Math.max(REPLAY_FLIGHT_BYTES_MAX, 2 * (fetcher.bytesPerRoundTrip ?? 0));
    return bytesLeft === 0 || bytesLeft + plan.length <= bytesMax;
  }

  #startFill(): void {
    for (;;) {
      const step = this.#fill.next({
        readsWait: this.#hungry.size > 0,
        isReplaying: this.#replays.hasWork || this.#count("prefetch") > 0,
        requests: this.#count("background"),
        busyAt: this.#busyAt,
        hasMemory: (plan) => this.#hasMemory(plan),
      });
      if (step?.kind === "wait") this.#wakeAfter(step.milliseconds);
      if (step?.kind !== "start") return;
      this.#start(step.fetcher, step.request, "background");
    }
  }

  #start(fetcher: LayerFetcher, request: PlannedRequest, priority: Priority): Transfer {
    const transfer = fetcher.start(request, priority);
    this.#running.set(transfer, fetcher);
    if (priority !== "background") this.#busyAt = this.#clock.now();
    return transfer;
  }

  #wakeAfter(milliseconds: number): void {
    this.#later?.cancel();
    this.#later = this.#clock.after(milliseconds, () => this.wake());
  }

  #hasMemory(plan: RequestPlan): boolean {
    const used = this.#bytesInFlight();
    return used === 0 || used + plan.length <= this.#bytesInFlightMax();
  }

  #bytesInFlight(): number {
    let sum = 0;
    for (const transfer of this.#running.keys()) sum += transfer.length;
    return sum;
  }

  #count(priority: Priority): number {
    let count = 0;
    for (const transfer of this.#running.keys()) if (transfer.priority === priority) count += 1;
    return count;
  }
}
