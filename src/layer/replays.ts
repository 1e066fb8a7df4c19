import type { Clock } from "./clock.js";
import { replayMeasuredChannel } from "./events.js";
import type { LayerFetcher } from "./layer-fetcher.js";
import type { UnitRange } from "./layer-record.js";
import { PREFETCH_REQUESTS_MAX, REPLAYS_KEPT_MAX, REPLAYS_MAX } from "./limits.js";
import { Replay, type ReplayRequest } from "./replay.js";
import type { ReplayFigures, ReplayHandle, ReplayPlan } from "./replay-contract.js";
import type { TouchedStart } from "./replay-figures.js";

/** All replays of the node: which goes next, and how much of the link they may have. */
export class Replays {
  readonly #clock: Clock;
  readonly #wake: () => void;
  readonly #fetchers = new Map<string, LayerFetcher>();
  /** Of starts that were seen, in turn, and before those of hints that came with a layer. */
  readonly #learnt = new Set<Replay>();
  readonly #hinted = new Set<Replay>();
  /** Oldest first. */
  #ended: readonly Replay[] = [];
  #requestsMax = PREFETCH_REQUESTS_MAX;

  constructor(options: { readonly clock: Clock; readonly wake: () => void }) {
    this.#clock = options.clock;
    this.#wake = options.wake;
  }

  /** Requests that may run at once. */
  get requestsMax(): number {
    return this.#requestsMax;
  }

  get isEmpty(): boolean {
    return this.#learnt.size === 0 && this.#hinted.size === 0;
  }

  /** Something could be asked for, now or as soon as a read or a pause is over. */
  get hasWork(): boolean {
    return this.#all().some((replay) => replay.hasWork);
  }

  /** Running and ended ones, oldest first. */
  get figures(): ReplayFigures[] {
    return [...this.#ended, ...this.#learnt, ...this.#hinted].map((replay) => replay.figures());
  }

  start(plan: ReplayPlan, { isHint }: { readonly isHint: boolean }): ReplayHandle {
    const set = isHint ? this.#hinted : this.#learnt;
    if (set.size >= REPLAYS_MAX) [...set][0]!.cancel();
    const replay: Replay = new Replay({
      plan,
      clock: this.#clock,
      onEnd: () => {
        set.delete(replay);
        const ended = [...this.#ended, replay];
        // Whoever started one may hold it for long, and layers that leave are told to those that are kept only.
        for (const old of ended.splice(0, Math.max(0, ended.length - REPLAYS_KEPT_MAX))) old.forgetLayers();
        this.#ended = ended;
        this.#wake();
      },
    });
    set.add(replay);
    for (const fetcher of this.#fetchers.values()) replay.attach(fetcher);
    this.#wake();
    return replay;
  }

  attach(fetcher: LayerFetcher): void {
    this.#fetchers.set(fetcher.digest, fetcher);
    for (const replay of this.#all()) replay.attach(fetcher);
  }

  detach(fetcher: LayerFetcher): void {
    if (this.#fetchers.get(fetcher.digest) === fetcher) this.#fetchers.delete(fetcher.digest);
    for (const replay of [...this.#ended, ...this.#all()]) replay.detach(fetcher);
  }

  next(): { readonly replay: Replay; readonly request: ReplayRequest } | undefined {
    for (const set of [this.#learnt, this.#hinted]) {
      for (const replay of [...set]) {
        const request = replay.next();
        if (request === undefined) continue;
        // The next look begins with the others.
        set.delete(replay);
        set.add(replay);
        return { replay, request };
      }
    }
    return undefined;
  }

  /** The replay that expects one of these units. */
  expecting(fetcher: LayerFetcher, range: UnitRange): Replay | undefined {
    for (const replay of this.#all()) if (replay.expects(fetcher, range)) return replay;
    return undefined;
  }

  /** A read came that no replay expects: the link is needed for it. */
  missed(): void {
    this.#requestsMax = Math.max(1, Math.floor(this.#requestsMax / 2));
  }

  /** A replay's request ended well. */
  succeeded(): void {
    this.#requestsMax = Math.min(PREFETCH_REQUESTS_MAX, this.#requestsMax + 1);
  }

  /** A start is over: replays of its layers that no earlier start has measured are held against it. */
  measure(start: TouchedStart): void {
    for (const replay of [...this.#ended, ...this.#all()]) {
      const measured = replay.measure(start);
      if (measured !== undefined)
        replayMeasuredChannel.publish({ label: replay.figures().label, ...measured });
    }
  }

  close(): void {
    for (const replay of [...this.#all()]) replay.cancel();
  }

  #all(): Replay[] {
    return [...this.#learnt, ...this.#hinted];
  }
}
