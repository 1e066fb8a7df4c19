import type { Clock } from "./clock.js";
import { fillJumpedChannel } from "./events.js";
import { FillPace } from "./fill-pace.js";
import type { LayerFetcher, PlannedRequest } from "./layer-fetcher.js";
import {
  BACKGROUND_QUIET_MS,
  BACKGROUND_RETRY_FIRST_MS,
  FILL_STARVED_MS,
  REQUEST_BYTES_MAX,
  WHOLE_REQUESTS_MAX,
} from "./limits.js";
import type { RequestPlan } from "./plan-request.js";
import { TokenBucket } from "./token-bucket.js";
import type { Carrying } from "./transfer.js";

export interface BackgroundFillOptions {
  readonly clock: Clock;
  readonly isEnabled: boolean;
  /** Compressed bytes a second over all layers; 0: no limit. */
  readonly bytesPerSecond: number;
}

/** What else goes on. */
export interface FillSurroundings {
  readonly readsWait: boolean;
  /** A replay has requests that run or could. */
  readonly isReplaying: boolean;
  /** Fill requests that run. */
  readonly requests: number;
  /** When a read or a replay last had to do with the link. */
  readonly busyAt: number;
  readonly hasMemory: (plan: RequestPlan) => boolean;
}

export type FillStep =
  | { readonly kind: "start"; readonly fetcher: LayerFetcher; readonly request: PlannedRequest }
  | { readonly kind: "wait"; readonly milliseconds: number };

/**
 * Fetches what is missing of layers, in the order of the blob: with what the link has left, or with all of it where a
 * layer is being read as a whole anyway. It goes by what is present, so a restart takes it up where it was.
 */
export class BackgroundFill {
  readonly #options: BackgroundFillOptions;
  readonly #pace = new FillPace();
  readonly #bucket: TokenBucket;
  /** In turn. */
  readonly #unfilled = new Set<LayerFetcher>();
  /** Of those: fetched at full speed. */
  readonly #urgent = new Set<LayerFetcher>();
  #heldSince: number;

  constructor(options: BackgroundFillOptions) {
    this.#options = options;
    this.#bucket = new TokenBucket(options);
    this.#heldSince = options.clock.now();
  }

  /** Requests that may run at once while nobody waits. */
  get requestsAllowed(): number {
    return this.#pace.requests;
  }

  get urgentLayers(): number {
    return this.#urgent.size;
  }

  isUrgent(fetcher: LayerFetcher): boolean {
    return this.#urgent.has(fetcher);
  }

  add(fetcher: LayerFetcher): void {
    if (this.#options.isEnabled && fetcher.isIncomplete) this.#unfilled.add(fetcher);
  }

  remove(fetcher: LayerFetcher): void {
    this.#unfilled.delete(fetcher);
    this.#urgent.delete(fetcher);
  }

  /** Looks whether so much of the layer is read that the rest should come at once. */
  touched(fetcher: LayerFetcher): void {
    if (!this.#unfilled.has(fetcher) || this.#urgent.has(fetcher) || !fetcher.touched.areMany) return;
    this.#urgent.add(fetcher);
    fetcher.fillFromReader();
    fillJumpedChannel.publish({ digest: fetcher.digest });
  }

  waited(milliseconds: number, isFilling: boolean): void {
    this.#change(() => this.#pace.waited(milliseconds, isFilling));
  }

  /** Nothing starts before it is quiet. */
  hold(): void {
    this.#change(() => this.#pace.hold());
  }

  /** Requests were cut for a read. */
  wasCut(): void {
    this.#change(() => this.#pace.hurt());
  }

  /** What to do now; undefined: nothing before something changes. */
  next(around: FillSurroundings): FillStep | undefined {
    if (this.#unfilled.size === 0) return undefined;
    const { waitMs } = this.#bucket;
    if (waitMs > 0) return { kind: "wait", milliseconds: waitMs };
    if (around.requests < WHOLE_REQUESTS_MAX) {
      const step = this.#startOne(this.#urgent, REQUEST_BYTES_MAX, around);
      if (step !== undefined) return step;
    }
    if (around.requests >= this.#pace.requests || around.readsWait || around.isReplaying) return undefined;
    if (this.#pace.isHeld) {
      const now = this.#options.clock.now();
      const quietMs = around.busyAt + BACKGROUND_QUIET_MS - now;
      const starvedMs = this.#heldSince + FILL_STARVED_MS - now;
      const milliseconds = Math.min(quietMs, starvedMs);
      if (milliseconds > 0) return { kind: "wait", milliseconds };
    }
    const step = this.#startOne(this.#unfilled, this.#pace.requestBytesMax, around);
    if (step !== undefined) {
      this.#pace.started();
      return step;
    }
    // Those that are left have failed lately, or all their units are on the way.
    return this.#unfilled.size > 0 ? { kind: "wait", milliseconds: BACKGROUND_RETRY_FIRST_MS } : undefined;
  }

  /** Only a request beside which no read was delayed says that there is room for more. */
  #watch(): Carrying {
    const { hurts } = this.#pace;
    return {
      stored: () => undefined,
      ended: (transfer) => {
        if (transfer.isWhole && hurts === this.#pace.hurts) this.#pace.succeeded();
      },
    };
  }

  #change(change: () => void): void {
    const wasHeld = this.#pace.isHeld;
    change();
    if (this.#pace.isHeld && !wasHeld) this.#heldSince = this.#options.clock.now();
  }

  #startOne(
    fetchers: ReadonlySet<LayerFetcher>,
    bytesMax: number,
    { hasMemory }: FillSurroundings,
  ): FillStep | undefined {
    for (const fetcher of fetchers) {
      if (!fetcher.isIncomplete) {
        this.remove(fetcher);
        continue;
      }
      const plan = fetcher.planFill(Math.min(bytesMax, this.#bucket.requestBytesMax));
      if (plan === undefined || !hasMemory(plan) || !fetcher.room.admits(plan, "background")) continue;
      this.#bucket.take(plan.length);
      return { kind: "start", fetcher, request: { plan, carrying: this.#watch() } };
    }
    return undefined;
  }
}
