import type { Clock, Timer } from "./clock.js";
import { replayEndedChannel } from "./events.js";
import { joinNear } from "./join-near.js";
import type { LayerFetcher } from "./layer-fetcher.js";
import type { UnitRange } from "./layer-record.js";
import {
  GAP_BYTES_MAX,
  PREFETCH_FAILURES_MAX,
  PREFETCH_REQUESTS_MAX,
  REPLAY_AHEAD_BYTES,
  REPLAY_GAP_BYTES_MAX,
  REPLAY_GAP_SHARE_MAX,
  REPLAY_LEAD_BYTES_MAX,
  REPLAY_NEIGHBOURS_MAX,
  REPLAY_PARTS_MAX,
  REPLAY_RANGES_MAX,
  REPLAY_TIME_MAX_MS,
  REQUEST_BYTES_MAX,
} from "./limits.js";
import { mapRanges } from "./map-ranges.js";
import type { RequestPlan } from "./plan-request.js";
import type {
  ReplayFigures,
  ReplayHandle,
  ReplayMeasure,
  ReplayPart,
  ReplayPlan,
  ReplayState,
} from "./replay-contract.js";
import { measureReplay, type ReplayLayer, replayLayer, type TouchedStart } from "./replay-figures.js";
import type { Carrying, Transfer } from "./transfer.js";

export interface ReplayOptions {
  readonly plan: ReplayPlan;
  readonly clock: Clock;
  /** It has ended by itself. */
  readonly onEnd: () => void;
}

type ReplaySums = Pick<ReplayFigures, "plannedBytes" | "presentBytes" | "storedBytes">;

/** Units that follow each other in the order of need. */
interface Step extends UnitRange {
  readonly layer: ReplayLayer;
}

export interface ReplayRequest {
  readonly fetcher: LayerFetcher;
  readonly plan: RequestPlan;
  readonly carrying: Carrying;
}

/** One plan on its way: what of it is to be asked for next, what came, and what it was good for. */
export class Replay implements ReplayHandle {
  readonly #plan: ReplayPlan;
  readonly #parts: readonly ReplayPart[];
  readonly #digests: ReadonlySet<string>;
  readonly #onEnd: () => void;
  readonly #timer: Timer;
  readonly #hasTime: boolean;
  readonly #layers = new Map<LayerFetcher, ReplayLayer>();
  readonly #transfers = new Map<Transfer, LayerFetcher>();
  #steps: Step[] = [];
  /** All steps before it are through. */
  #next = 0;
  #state: ReplayState = "running";
  #requestedBytes = 0;
  #requests = 0;
  #failures = 0;
  #failuresInRow = 0;
  #start: ReplayMeasure | undefined;
  /** Of layers that need not be known any more. */
  #past: ReplaySums = { plannedBytes: 0, presentBytes: 0, storedBytes: 0 };

  constructor({ plan, clock, onEnd }: ReplayOptions) {
    this.#plan = plan;
    this.#parts = boundedParts(plan);
    this.#digests = new Set(this.#parts.map(({ digest }) => digest));
    this.#onEnd = onEnd;
    const timeMs = Math.min(REPLAY_TIME_MAX_MS, Math.max(0, plan.timeMaxMs || 0));
    this.#hasTime = timeMs > 0;
    this.#timer = clock.after(timeMs, () => this.#end("time-over"));
  }

  get isRunning(): boolean {
    return this.#state === "running";
  }

  /** Something of the layers that are here is missing. */
  get hasWork(): boolean {
    return this.#next < this.#steps.length;
  }

  figures(): ReplayFigures {
    const sum = (key: keyof ReplaySums): number =>
      [...this.#layers.values()].reduce((total, layer) => total + layer[key], this.#past[key]);
    return {
      label: this.#plan.label,
      state: this.#state,
      plannedBytes: sum("plannedBytes"),
      presentBytes: sum("presentBytes"),
      storedBytes: sum("storedBytes"),
      requestedBytes: this.#requestedBytes,
      requests: this.#requests,
      failures: this.#failures,
      start: this.#start,
    };
  }

  cancel(): void {
    this.#end("cancelled");
    for (const [transfer, fetcher] of this.#transfers) fetcher.cutIfUnwanted(transfer);
  }

  /** A layer is here: its parts are mapped, and begin. */
  attach(fetcher: LayerFetcher): void {
    if (!this.isRunning || !this.#digests.has(fetcher.digest)) return;
    const ranges = this.#parts
      .filter(({ digest }) => digest === fetcher.digest)
      .flatMap((part) => mapRanges(fetcher.ledger.units, part.ranges));
    this.#layers.set(fetcher, replayLayer(fetcher, ranges));
    this.#layOut();
  }

  /** The layer is gone; one of that digest that comes later begins anew. */
  detach(fetcher: LayerFetcher): void {
    const layer = this.#layers.get(fetcher);
    if (layer === undefined) return;
    this.#layers.delete(fetcher);
    this.#past = {
      plannedBytes: this.#past.plannedBytes + layer.plannedBytes,
      presentBytes: this.#past.presentBytes + layer.presentBytes,
      storedBytes: this.#past.storedBytes + layer.storedBytes,
    };
    if (this.isRunning) this.#layOut();
  }

  /**
   * Whether it was about to fetch one of these units. A plan that names one for much later knows little of this start, and
   * must not keep the link from its reads.
   */
  expects(fetcher: LayerFetcher, { first, last }: UnitRange): boolean {
    const layer = this.#layers.get(fetcher);
    if (layer === undefined || !this.isRunning) return false;
    return this.#soon(this.#next).some(
      (step) => step.layer === layer && step.first <= last && step.last >= first,
    );
  }

  /** The next request in the order of need; undefined: none now, perhaps none any more. */
  next(): ReplayRequest | undefined {
    if (!this.#hasTime) this.#end("time-over");
    if (!this.isRunning) return undefined;
    let isWaiting = this.#transfers.size > 0;
    for (let at = this.#next; at < this.#steps.length; at += 1) {
      const { layer, first, last } = this.#steps[at]!;
      const { fetcher } = layer;
      const unit = fetcher.isReplayPausing ? undefined : fetcher.nextHealthy(first, last);
      if (unit !== undefined) return this.#request(at, unit);
      const isThrough = !fetcher.isReplayPausing && fetcher.ledger.firstMissing(first, last) === undefined;
      if (isThrough && at === this.#next) this.#next += 1;
      isWaiting ||= fetcher.isReplayPausing || fetcher.transfers.size > 0;
    }
    if (this.#layers.size === this.#digests.size && !isWaiting) this.#end("done");
    return undefined;
  }

  /** A read's request with what is expected next behind it, in place of what happens to lie there. */
  carriedBy(fetcher: LayerFetcher, plan: RequestPlan, windowBytes: number): ReplayRequest {
    const { planned } = this.#layers.get(fetcher)!;
    const { units } = fetcher.ledger;
    const end = plan.offset + plan.length + windowBytes;
    const near: UnitRange[] = [];
    for (let unit = plan.lastUnit + 1; unit < units.count && units.blobEnd(unit) <= end; unit += 1)
      if (planned.has(unit)) near.push({ first: unit, last: unit });
    const grown = this.#join({ fetcher, plan, near, leadBytesMax: 0 });
    return { fetcher, plan: grown, carrying: this.#carrying(fetcher, plan.lastUnit + 1) };
  }

  started({ fetcher, plan }: ReplayRequest, transfer: Transfer): void {
    this.#transfers.set(transfer, fetcher);
    this.#requests += 1;
    this.#requestedBytes += plan.length;
  }

  /** No start is held against it any more; its figures stay. */
  forgetLayers(): void {
    for (const fetcher of [...this.#layers.keys()]) this.detach(fetcher);
  }

  /** Holds what it brought against a start of an image with these layers, once. */
  measure(start: TouchedStart): ReplayMeasure | undefined {
    if (this.#layers.size === 0 || this.#start !== undefined) return undefined;
    const digests = new Set(start.layers.map(({ digest }) => digest));
    for (const { digest } of this.#layers.keys()) if (!digests.has(digest)) return undefined;
    this.#start = measureReplay([...this.#layers.values()], start);
    this.#forgetIfOver();
    return this.#start;
  }

  #request(at: number, unit: number): ReplayRequest | undefined {
    const { layer } = this.#steps[at]!;
    const { fetcher } = layer;
    const alone = fetcher.planUnit(unit);
    const grown = this.#join({
      fetcher,
      plan: alone,
      near: this.#soon(at).filter((step) => step.layer === layer),
      leadBytesMax: REPLAY_LEAD_BYTES_MAX,
    });
    const left = this.#plan.bytesMax - this.#requestedBytes;
    const plan = grown.length <= left ? grown : alone;
    // Also for a number that is none.
    if (!(plan.length <= left)) {
      this.#end("bytes-over");
      return undefined;
    }
    return { fetcher, plan, carrying: this.#carrying(fetcher, plan.firstUnit) };
  }

  /** What is missing of the next steps from this one on: what is on its way, and so many bytes behind it. */
  #soon(from: number): Step[] {
    const soon: Step[] = [];
    let bytes = 0;
    for (let at = from; at < this.#steps.length; at += 1) {
      if (bytes > REPLAY_AHEAD_BYTES || soon.length >= REPLAY_NEIGHBOURS_MAX) break;
      const { layer, first, last } = this.#steps[at]!;
      const { ledger } = layer.fetcher;
      if (ledger.firstMissing(first, last) === undefined) continue;
      const wanted = ledger.firstWanted(first, last);
      const end =
        wanted === undefined
          ? last
          : this.#lastWithin(layer, { first: wanted, last }, REPLAY_AHEAD_BYTES - bytes);
      if (wanted !== undefined) bytes += ledger.units.blobEnd(end) - ledger.units.blobOffset(wanted);
      soon.push({ layer, first, last: end });
    }
    return soon;
  }

  /** The last unit of a range that lies within so many bytes of its begin; at least the first. */
  #lastWithin({ fetcher }: ReplayLayer, { first, last }: UnitRange, bytesMax: number): number {
    const { units } = fetcher.ledger;
    const beyond = units.firstAtBlobOffset(units.blobOffset(first) + Math.max(1, bytesMax));
    return Math.min(last, Math.max(first, beyond - 1));
  }

  #join(options: {
    readonly fetcher: LayerFetcher;
    readonly plan: RequestPlan;
    readonly near: readonly UnitRange[];
    readonly leadBytesMax: number;
  }): RequestPlan {
    const { fetcher } = options;
    // Requests run side by side: each costs its share of a round trip.
    const share = (fetcher.bytesPerRoundTrip ?? 0) / PREFETCH_REQUESTS_MAX;
    return joinNear({
      ...options,
      ledger: fetcher.ledger,
      requestBytesMax: REQUEST_BYTES_MAX,
      gapBytesMax: Math.min(REPLAY_GAP_BYTES_MAX, Math.max(GAP_BYTES_MAX, share)),
      gapShareMax: REPLAY_GAP_SHARE_MAX,
    });
  }

  /** Counts what a request brings from this unit on. */
  #carrying(fetcher: LayerFetcher, from: number): Carrying {
    const layer = this.#layers.get(fetcher)!;
    return {
      stored: (unit, isLate) => {
        if (unit < from) return;
        layer.brought.set(unit, true);
        if (isLate) layer.late.set(unit, true);
        layer.storedBytes += fetcher.ledger.units.dataLength(unit);
      },
      ended: (transfer, hasFailed) => this.#transferEnded(transfer, hasFailed),
    };
  }

  #transferEnded(transfer: Transfer, hasFailed: boolean): void {
    if (!this.#transfers.delete(transfer)) return;
    if (!hasFailed) {
      this.#failuresInRow = 0;
      return;
    }
    this.#failures += 1;
    this.#failuresInRow += 1;
    if (this.#failuresInRow >= PREFETCH_FAILURES_MAX) this.#end("failed");
  }

  #layOut(): void {
    const layers = new Map([...this.#layers].map(([fetcher, layer]) => [fetcher.digest as string, layer]));
    this.#next = 0;
    this.#steps = [];
    for (const { digest, ranges } of this.#parts) {
      const layer = layers.get(digest);
      if (layer === undefined) continue;
      for (const range of mapRanges(layer.fetcher.ledger.units, ranges))
        this.#steps.push({ layer, ...range });
    }
  }

  #end(state: ReplayState): void {
    if (!this.isRunning) return;
    this.#state = state;
    this.#timer.cancel();
    this.#steps = [];
    this.#forgetIfOver();
    const { start: _start, ...figures } = this.figures();
    replayEndedChannel.publish(figures);
    this.#onEnd();
  }

  /** Sets of units are kept no longer than somebody may ask for them. */
  #forgetIfOver(): void {
    if (this.isRunning || this.#start === undefined) return;
    this.forgetLayers();
  }
}

/** Of a stranger's plan as much as is kept; what is behind waits for its readers. */
function boundedParts({ parts }: ReplayPlan): ReplayPart[] {
  let left = REPLAY_RANGES_MAX;
  const bounded: ReplayPart[] = [];
  for (const { digest, ranges } of parts.slice(0, REPLAY_PARTS_MAX)) {
    const kept = ranges.slice(0, left);
    left -= kept.length;
    if (kept.length > 0) bounded.push({ digest, ranges: kept });
  }
  return bounded;
}
