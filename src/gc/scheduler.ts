import { type Deferred, deferred, withSignal } from "../async/index.js";
import { LazuliError, resourceExhausted, unavailable } from "../errors/index.js";
import { type Change, ingests, leaseResources, type Metadata } from "../metadata/index.js";
import { log } from "../observe/index.js";
import { collectionFailedChannel } from "./channel.js";
import type { Collector } from "./collector.js";
import type { CollectionStats } from "./contract.js";
import { rowKinds } from "./row-kinds.js";

/** The clock and alarm of a scheduler. */
export interface CollectionTimer {
  /** Calls once after the delay, unless disposed before. */
  after(delayMs: number, call: () => void): Disposable;
  /** Milliseconds of a clock that only goes on. */
  nowMs(): number;
}

export interface CollectionSchedulerOptions {
  readonly collector: Pick<Collector, "collect" | "isOwn">;
  readonly metadata: Pick<Metadata, "observe">;
  /** Largest part of the time that collections may take; 0: they are a second apart. */
  readonly pauseThreshold: number;
  /** Deletions after which one is due at once; 0: after the first, when the pause allows. */
  readonly deletionThreshold: number;
  /** Changes after which one is due when the pause allows; 0: changes make none due. */
  readonly mutationThreshold: number;
  readonly scheduleDelayMs: number;
  /** From the start to the first collection. */
  readonly startupDelayMs: number;
  readonly timer?: CollectionTimer;
}

export interface CollectionScheduler {
  /**
   * Resolves when a collection that began after the call has ended. @throws what made it fail; the signal's reason;
   * UNAVAILABLE when the scheduler is closed; RESOURCE_EXHAUSTED when too many wait
   */
  scheduleAndWait(options: { readonly signal?: AbortSignal | undefined }): Promise<CollectionStats>;
  /** Ends a running collection at its next step and waits for that. Safe to call twice. */
  close(): Promise<void>;
}

/** Calls that wait for a collection; one beyond it is refused. */
const WAITING_MAX = 10_000;
/** containerd's constants (plugins/gc/scheduler.go). */
const FIRST_INTERVAL_MS = 1000;
const FAILURE_MS = 1000;
const COLLECTION_MS_MIN = 5;

/** A collection also makes changes below the graph, which must not make the next one due. */
const graphTables = new Set(rowKinds.map(({ tableName }) => tableName));

/** Runs collections as containerd's scheduler does: on request, and as changes of the metadata make them due. */
export function createCollectionScheduler(options: CollectionSchedulerOptions): CollectionScheduler {
  return new Scheduler(options);
}

class Scheduler implements CollectionScheduler {
  readonly #options: CollectionSchedulerOptions;
  readonly #timer: CollectionTimer;
  readonly #subscription: Disposable;
  readonly #closing = new AbortController();
  #waiting: Deferred<CollectionStats>[] = [];
  #deletions = 0;
  #mutations = 0;
  #collections = 0;
  #collectionsMs = 0;
  #intervalMs = FIRST_INTERVAL_MS;
  #alarm: { readonly atMs: number; readonly handle: Disposable } | undefined;
  #running: Promise<void> | undefined;

  constructor(options: CollectionSchedulerOptions) {
    this.#options = options;
    this.#timer = options.timer ?? systemTimer;
    this.#subscription = options.metadata.observe((changes) => this.#count(changes));
    this.#schedule(options.startupDelayMs);
  }

  async scheduleAndWait({ signal }: { readonly signal?: AbortSignal | undefined }): Promise<CollectionStats> {
    signal?.throwIfAborted();
    if (this.#closing.signal.aborted) throw closed();
    if (this.#waiting.length >= WAITING_MAX) {
      throw resourceExhausted(`Cannot wait for a collection: at most ${WAITING_MAX} calls may wait`, {
        reason: "gc-overloaded",
      });
    }
    const ended = deferred<CollectionStats>();
    this.#waiting.push(ended);
    this.#consider();
    try {
      return await withSignal(ended.promise, signal);
    } finally {
      this.#waiting = this.#waiting.filter((waiting) => waiting !== ended);
    }
  }

  async close(): Promise<void> {
    this.#subscription[Symbol.dispose]();
    this.#alarm?.handle[Symbol.dispose]();
    this.#alarm = undefined;
    this.#closing.abort(closed());
    await this.#running;
    for (const waiting of this.#waiting.splice(0)) waiting.reject(closed());
  }

  #count(changes: readonly Change[]): void {
    const counted = changes.filter(({ table }) => graphTables.has(table));
    if (counted.length === 0 || this.#options.collector.isOwn(changes)) return;
    this.#mutations += 1;
    if (isDeletion(counted)) this.#deletions += 1;
    this.#consider();
  }

  #consider(): void {
    if (this.#running !== undefined || this.#closing.signal.aborted) return;
    const { deletionThreshold, scheduleDelayMs } = this.#options;
    const isDueAtOnce =
      this.#waiting.length > 0 || (deletionThreshold > 0 && this.#deletions >= deletionThreshold);
    const isDue =
      isDueAtOnce ||
      (this.#alarm === undefined && ((deletionThreshold === 0 && this.#deletions > 0) || this.#isMutated()));
    if (isDue) this.#schedule(scheduleDelayMs);
  }

  #isMutated(): boolean {
    const { mutationThreshold } = this.#options;
    return mutationThreshold > 0 && this.#mutations >= mutationThreshold;
  }

  /** Sets the alarm, unless it rings before that anyway. */
  #schedule(delayMs: number): void {
    if (this.#closing.signal.aborted) return;
    const atMs = this.#timer.nowMs() + delayMs;
    if (this.#alarm !== undefined && this.#alarm.atMs <= atMs) return;
    this.#alarm?.handle[Symbol.dispose]();
    this.#alarm = { atMs, handle: this.#timer.after(delayMs, () => this.#ring()) };
  }

  #ring(): void {
    this.#alarm = undefined;
    const isNeeded =
      this.#waiting.length > 0 || this.#collections === 0 || this.#deletions > 0 || this.#isMutated();
    if (!isNeeded) return;
    this.#running = this.#collect().finally(() => {
      this.#running = undefined;
      this.#schedule(this.#intervalMs);
      this.#consider();
    });
  }

  async #collect(): Promise<void> {
    const { collector, pauseThreshold } = this.#options;
    const [deletions, mutations, waiting] = [this.#deletions, this.#mutations, this.#waiting];
    this.#waiting = [];
    try {
      const stats = await collector.collect({ signal: this.#closing.signal });
      this.#deletions -= deletions;
      this.#mutations -= mutations;
      this.#collections += 1;
      this.#collectionsMs += stats.durationMs;
      const averageMs = this.#collectionsMs / this.#collections;
      if (pauseThreshold > 0)
        this.#intervalMs = Math.max(averageMs, COLLECTION_MS_MIN) / pauseThreshold - averageMs;
      for (const { resolve } of waiting) resolve(stats);
    } catch (thrown) {
      for (const { reject } of waiting) reject(thrown);
      if (this.#closing.signal.aborted) return;
      this.#intervalMs += FAILURE_MS;
      const { code, message } = LazuliError.from(thrown);
      collectionFailedChannel.publish({ code, error: message, retryMs: this.#intervalMs });
      log.warn("Cannot collect garbage", { code, error: message });
    }
  }
}

/** Whether something was let go of. An ingest that became a blob is not, nor is what its lease has of it. */
function isDeletion(changes: readonly Change[]): boolean {
  const isReplaced = changes.some(({ record }) => record !== undefined);
  return changes.some(
    ({ table, record }) =>
      record === undefined && table !== ingests.name && !(isReplaced && table === leaseResources.name),
  );
}

function closed(): LazuliError {
  return unavailable("Cannot collect garbage: the collector is closed", { reason: "gc-closed" });
}

const systemTimer: CollectionTimer = {
  after: (delayMs, call) => {
    const timeout = setTimeout(call, delayMs);
    timeout.unref();
    return { [Symbol.dispose]: () => clearTimeout(timeout) };
  },
  nowMs: () => performance.now(),
};
