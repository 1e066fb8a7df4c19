import { constants } from "node:os";
import type { Digest } from "../bytes/index.js";
import { LazuliError } from "../errors/index.js";
import { type NativePlane, refusalReasons, unitOutcomes } from "../fuse/index.js";
import { Backoff } from "./backoff.js";
import type { Clock, Timer } from "./clock.js";
import { type Demand, Demands } from "./demands.js";
import { corruptChannel, retryChannel } from "./events.js";
import { LayerRoom } from "./layer-room.js";
import type { LazySource } from "./lazy-source.js";
import {
  BACKGROUND_RETRY_FIRST_MS,
  BACKGROUND_RETRY_LONGEST_MS,
  CORRUPT_ATTEMPTS_MAX,
  GAP_BYTES_MAX,
  INTERRUPT_DISTANCE_BYTES,
  REQUEST_BYTES_MAX,
  RETRY_FIRST_MS,
  RETRY_LONGEST_MS,
  WAITING_READS_MAX,
} from "./limits.js";
import type { LinkEstimate } from "./link-estimate.js";
import { planRequest, type RequestPlan } from "./plan-request.js";
import { type ReadFailureReason, ReadFailures } from "./read-failures.js";
import { Readahead } from "./readahead.js";
import { RecentDeadlines } from "./recent-deadlines.js";
import { RequestSteps } from "./request-steps.js";
import type { Space } from "./space-contract.js";
import { TouchedUnits } from "./touched-units.js";
import { type Carrying, Transfer } from "./transfer.js";
import type { UnitLedger } from "./unit-ledger.js";

/** What the scheduler needs of the native plane. */
export type UnitPlane = Pick<NativePlane, "ingest" | "failReads" | "presence">;

export interface LayerFetcherOptions {
  readonly number: number;
  readonly digest: Digest;
  readonly ledger: UnitLedger;
  readonly source: LazySource;
  readonly plane: UnitPlane;
  readonly clock: Clock;
  /** Spreads retries: a number from 0 to 1. */
  readonly random: () => number;
  readonly readaheadMaxBytes: number;
  readonly link: LinkEstimate;
  readonly demandDeadlineMs: number;
  /** There may be something to start. */
  readonly wake: () => void;
  /** A read got its bytes after this wait. */
  readonly onServed?: ((waitedMs: number) => void) | undefined;
  /** Units became present, or missing again. */
  readonly onChange: (units: number) => void;
  /** A request for units of so many bytes is about to be made; it waits for what is returned, if anything is. */
  readonly onRequest?: ((plan: RequestPlan) => Promise<void> | undefined) | undefined;
  /** Where its bytes go. */
  readonly space?: Space | undefined;
  /** A unit was decoded and written. Absent: nobody looks at single ones. */
  readonly onStored?: ((unit: number) => void) | undefined;
}

type Started = { readonly carrying: Carrying | undefined; readonly ready: Promise<void> | undefined };

export interface PlannedRequest {
  readonly plan: RequestPlan;
  readonly carrying?: Carrying | undefined;
}

const LAYER_CLOSED = "The layer was closed while reads waited";

/** What one layer wants fetched, and how it takes what comes. When a request may start is the scheduler's to say. */
export class LayerFetcher {
  readonly transfers = new Set<Transfer>();
  readonly touched: TouchedUnits;
  readonly room: LayerRoom;
  readonly #options: LayerFetcherOptions;
  readonly #demands: Demands;
  readonly #readahead: Readahead;
  readonly #failures: ReadFailures;
  readonly #recentDeadlines: RecentDeadlines;
  readonly #running = new Set<Promise<void>>();
  #deadline: Timer | undefined;
  readonly #retries: Partial<Record<"demand" | "prefetch", Timer>> = {};
  readonly #retryPause: Backoff;
  readonly #replayPause: Backoff;
  readonly #fillPause: Backoff;
  #fillNext = 0;
  #lastDemanded = 0;
  #isClosed = false;
  #fetchedBytes = 0;
  #lastError: string | undefined;
  #sourceError: { readonly at: number; readonly message: string } | undefined;

  constructor(options: LayerFetcherOptions) {
    this.#options = options;
    this.#demands = new Demands(options);
    this.#readahead = new Readahead({ maxBytes: options.readaheadMaxBytes, link: options.link });
    const onNoRoom = (unit: number): void => this.#diskFailed(unit, unitOutcomes.ioError);
    this.room = new LayerRoom({ ...options, onNoRoom });
    this.#failures = new ReadFailures(options);
    this.#recentDeadlines = new RecentDeadlines(options.clock);
    this.touched = new TouchedUnits(options.ledger);
    this.#retryPause = new Backoff({ ...options, firstMs: RETRY_FIRST_MS, longestMs: RETRY_LONGEST_MS });
    this.#replayPause = new Backoff({ ...options, firstMs: RETRY_FIRST_MS, longestMs: RETRY_LONGEST_MS });
    this.#fillPause = new Backoff({
      ...options,
      firstMs: BACKGROUND_RETRY_FIRST_MS,
      longestMs: BACKGROUND_RETRY_LONGEST_MS,
    });
  }

  get waitingReads(): number {
    return this.#demands.size;
  }

  get fetchedBytes(): number {
    return this.#fetchedBytes;
  }

  get lastError(): string | undefined {
    return this.#lastError;
  }

  get digest(): Digest {
    return this.#options.digest;
  }

  get ledger(): UnitLedger {
    return this.#options.ledger;
  }

  get bytesPerRoundTrip(): number | undefined {
    return this.#options.link.bytesPerRoundTrip;
  }

  /** A read waits that no replay expects. */
  get hasUnexpectedReads(): boolean {
    for (const { isExpected } of this.#demands) if (!isExpected) return true;
    return false;
  }

  /** Requests for a replay have failed lately. */
  get isReplayPausing(): boolean {
    return this.#replayPause.isPausing;
  }

  /** Whether the background has more to do here, now or later. */
  get isIncomplete(): boolean {
    return !this.#options.ledger.isComplete;
  }

  /** A read waits for the missing ones of these units. False: it does not, or not any more. */
  demand(wanted: Omit<Demand, "since">): boolean {
    const { ledger, clock } = this.#options;
    const { first, last } = wanted;
    const demand = { ...wanted, since: clock.now() };
    if (this.#isClosed) {
      this.#fail([demand], "layer-closed", LAYER_CLOSED);
      return false;
    }
    this.touched.add(first, last);
    this.#lastDemanded = last;
    if (ledger.hasAll(first, last) && !this.#isMissingInPlane(first, last)) {
      // The read was answered while its miss was on the way here.
      return false;
    }
    if (this.#recentDeadlines.isAskedAgain(first, last)) {
      this.#fail([demand], "demand-deadline", this.#lastError ?? "Nothing came in time");
      return false;
    }
    for (let unit = first; unit <= last; unit += 1) {
      if (ledger.failures(unit) >= CORRUPT_ATTEMPTS_MAX) ledger.forgetFailures(unit);
    }
    this.#demands.add(demand);
    this.#armDeadline();
    return true;
  }

  /** Whether a read waits for units of the range, or a request brings some. */
  isBusyWith(first: number, last: number): boolean {
    return this.#demands.overlap(first, last) || [...this.transfers].some((one) => one.overlaps(first, last));
  }

  /** The read's process gave up. False: not a read of this layer. */
  interrupt(read: bigint): boolean {
    const demand = this.#demands.interrupt(read);
    if (demand === undefined) return false;
    for (const transfer of this.transfers) {
      if (transfer.priority === "demand" && transfer.overlaps(demand.first, demand.last))
        this.cutIfUnwanted(transfer);
    }
    this.#armDeadline();
    return true;
  }

  /** The native plane failed reads by itself. */
  refused(reads: number, reason: number): void {
    const isFull = reason === refusalReasons.tooManyWaiting;
    this.#lastError = isFull
      ? `Reads failed at once: ${WAITING_READS_MAX} wait for missing bytes already`
      : "Reads failed in the data plane, which had no memory for them";
    this.#failures.report({
      reason: isFull ? "waiting-reads-full" : "plane-failed",
      reads,
      units: undefined,
      error: this.#lastError,
    });
  }

  damaged(unit: number): void {
    const { ledger, digest, onChange } = this.#options;
    if (!ledger.markDamaged(unit)) return;
    corruptChannel.publish({ digest, unit, origin: "disk" });
    this.#lastError = `Unit ${unit} was damaged on disk and is fetched again`;
    onChange(1);
  }

  /** Cuts a request that nobody waits for any more, or does not yet. True if anything was cut. */
  cutIfUnwanted(transfer: Transfer): boolean {
    if (this.#demands.overlap(transfer.firstUnit, transfer.lastUnit)) return false;
    return this.#cut(transfer);
  }

  /**
   * The request to make for the reads that wait; undefined: all are being served, or it is too early. `carry` may add
   * what is expected behind it, where nothing says that a reader goes on there.
   */
  planDemand(
    carry?: (plan: RequestPlan, windowBytes: number) => PlannedRequest | undefined,
  ): PlannedRequest | undefined {
    const { ledger } = this.#options;
    if (this.#retryPause.isPausing) return undefined;
    for (const demand of this.#demands) {
      const first = ledger.firstWanted(demand.first, demand.last) ?? this.#takeBack(demand);
      if (first === undefined) continue;
      const offset = ledger.units.blobOffset(first);
      const needed = { first, lastNeeded: demand.last, requestBytesMax: REQUEST_BYTES_MAX };
      const narrow = (): PlannedRequest => ({ plan: this.#plan({ ...needed, windowBytes: 0 }) });
      if (demand.isExpected && carry !== undefined && !this.#readahead.isFollowing(offset)) {
        const windowBytes = Math.min(this.#options.readaheadMaxBytes, this.#readahead.startBytes);
        const carried = carry(this.#plan({ ...needed, windowBytes: 0 }), windowBytes);
        if (carried !== undefined) return this.room.fitting(carried, narrow);
      }
      const plan = this.#plan({ ...needed, windowBytes: this.#readahead.windowAt(offset) });
      return this.room.fitting({ plan }, narrow);
    }
    return undefined;
  }

  /** The request for one unit and what shares its stream. */
  planUnit(first: number): RequestPlan {
    return this.#plan({ first, lastNeeded: first, windowBytes: 0, requestBytesMax: 0 });
  }

  planFill(bytesMax: number): RequestPlan | undefined {
    if (this.#fillPause.isPausing) return undefined;
    const end = this.#options.ledger.units.count - 1;
    const first = this.nextHealthy(this.#fillNext, end) ?? this.nextHealthy(0, end);
    if (first === undefined) return undefined;
    this.#fillNext = first;
    return this.#plan({
      first,
      lastNeeded: first,
      windowBytes: bytesMax,
      requestBytesMax: bytesMax,
      bridgesPresent: false,
    });
  }

  /** What is filled next lies where it was read last. */
  fillFromReader(): void {
    this.#fillNext = this.#lastDemanded;
  }

  /** Makes the request. Its failure is handled here. */
  start({ plan, carrying }: PlannedRequest, priority: Transfer["priority"]): Transfer {
    const { ledger, number, plane, digest } = this.#options;
    ledger.markOnItsWay(plan.firstUnit, plan.lastUnit);
    const ready = this.#options.onRequest?.(plan);
    if (priority === "demand") this.#readahead.requested(plan.offset, plan.offset + plan.length);
    const transfer = new Transfer({
      plan,
      priority,
      layer: number,
      ledger,
      ingest: (options) => plane.ingest(options),
      waitedFor: (first, last) => this.#demands.firstMissing(first, last),
      steps: new RequestSteps({ digest, plan, priority }),
      onBytes: (bytes) => {
        this.#fetchedBytes += bytes;
      },
      onOutcomes: (firstUnit, outcomes) => this.#stored(firstUnit, outcomes, carrying),
    });
    this.transfers.add(transfer);
    const running = this.#run(transfer, { carrying, ready }).finally(() => this.#running.delete(running));
    this.#running.add(running);
    return transfer;
  }

  /** Ends all requests, fails the reads that wait, and returns when nothing runs any more. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const timer of Object.values(this.#retries)) timer.cancel();
    for (const transfer of this.transfers) transfer.cancel("The layer is closed");
    await Promise.all(this.#running);
    this.#fail(this.#demands.expire(Number.POSITIVE_INFINITY), "layer-closed", LAYER_CLOSED);
    this.#deadline?.cancel();
  }

  #plan(options: {
    readonly first: number;
    readonly lastNeeded: number;
    readonly windowBytes: number;
    readonly requestBytesMax: number;
    readonly bridgesPresent?: boolean;
  }): RequestPlan {
    const { ledger } = this.#options;
    return planRequest({
      ledger,
      lastAllowed: ledger.units.count - 1,
      gapBytesMax: GAP_BYTES_MAX,
      bridgesPresent: true,
      ...options,
    });
  }

  async #run(transfer: Transfer, { carrying, ready }: Started): Promise<void> {
    const { source, ledger, wake } = this.#options;
    let hasFailed = false;
    try {
      await ready;
      await transfer.run(await source.get(transfer.signal));
      for (const pause of [this.#retryPause, this.#replayPause, this.#fillPause]) pause.succeeded();
    } catch (thrown) {
      hasFailed = !transfer.isCanceled;
      if (hasFailed) this.#failed(LazuliError.from(thrown), transfer);
    } finally {
      this.transfers.delete(transfer);
      ledger.release(transfer.firstUnit, transfer.lastUnit);
      transfer.steps.ended(hasFailed);
      carrying?.ended(transfer, hasFailed);
      wake();
    }
  }

  #stored(firstUnit: number, outcomes: Uint8Array, carrying: Carrying | undefined): void {
    const { ledger, onChange, onStored } = this.#options;
    let arrived = 0;
    for (const [index, outcome] of outcomes.entries()) {
      const unit = firstUnit + index;
      if (outcome === unitOutcomes.stored) ledger.markStored(unit);
      else if (outcome === unitOutcomes.alreadyPresent) ledger.markPresent(unit);
      else if (outcome === unitOutcomes.corrupt || outcome === unitOutcomes.truncated) this.#cameWrong(unit);
      else this.#diskFailed(unit, outcome);
      if (outcome !== unitOutcomes.stored) continue;
      arrived += 1;
      this.room.stored(unit);
      onStored?.(unit);
      carrying?.stored(unit, this.#demands.overlap(unit, unit));
    }
    const lastUnit = firstUnit + outcomes.length - 1;
    // What was lost again since it was stored: the reads that were told of the loss go on waiting.
    if (this.#demands.overlap(firstUnit, lastUnit)) this.#isMissingInPlane(firstUnit, lastUnit);
    this.#demands.settle(firstUnit, lastUnit);
    this.#armDeadline();
    if (arrived > 0) onChange(arrived);
  }

  #cameWrong(unit: number): void {
    const { ledger, source, digest } = this.#options;
    source.distrust({ offset: ledger.units.blobOffset(unit), length: ledger.units.blobLength(unit) });
    corruptChannel.publish({ digest, unit, origin: "source" });
    this.#lastError = `The source's bytes for unit ${unit} do not have the digest that the index names`;
    if (ledger.countFailure(unit) < CORRUPT_ATTEMPTS_MAX) return;
    this.#fail(this.#demands.fail(unit, unit), "source-corrupt", this.#lastError);
  }

  /** The disk refused the bytes (full, broken): fetching them again would not help its readers now. */
  #diskFailed(unit: number, outcome: number): void {
    const isFull = outcome === unitOutcomes.noSpace;
    if (isFull && this.#demands.overlap(unit, unit) && this.room.mayRetry(unit)) return;
    this.#lastError = `Unit ${unit} could not be written to the data file`;
    this.#fillPause.failed();
    this.#fail(this.#demands.fail(unit, unit), "disk-failed", this.#lastError);
  }

  #failed(error: LazuliError, transfer: Transfer): void {
    const { source, clock, digest, wake } = this.#options;
    const { priority } = transfer;
    this.#lastError = error.message;
    this.#sourceError = { at: clock.now(), message: error.message };
    source.failed(error);
    const pauses = { demand: this.#retryPause, prefetch: this.#replayPause, background: this.#fillPause };
    const delayMs = pauses[priority].failed();
    // The background looks again by itself.
    if (priority !== "background") {
      this.#retries[priority]?.cancel();
      this.#retries[priority] = clock.after(delayMs, wake);
    }
    retryChannel.publish({ digest, priority, code: error.code, delayMs });
  }

  /** These reads, which have left the demands, get EIO. */
  #fail(demands: readonly Demand[], reason: ReadFailureReason, error: string): void {
    const [oldest] = demands;
    if (oldest === undefined) return;
    this.#lastError = error;
    this.#failures.report({ reason, reads: demands.length, units: oldest, error });
    this.#options.plane.failReads(
      demands.map(({ read }) => read),
      constants.errno.EIO,
    );
  }

  #armDeadline(): void {
    const { clock, demandDeadlineMs } = this.#options;
    this.#deadline?.cancel();
    this.#deadline = undefined;
    const { oldest } = this.#demands;
    if (oldest === undefined) return;
    this.#deadline = clock.after(Math.max(0, oldest.since + demandDeadlineMs - clock.now()), () =>
      this.#expire(),
    );
  }

  #expire(): void {
    const { clock, demandDeadlineMs } = this.#options;
    const late = this.#demands.expire(clock.now() - demandDeadlineMs);
    const error = this.#sourceError;
    const isRecent = error !== undefined && late.some(({ since }) => since <= error.at);
    const cause = isRecent ? error.message : "the source did not answer in time";
    for (const { first, last } of late) this.#recentDeadlines.note(first, last);
    this.#fail(late, "demand-deadline", `Nothing came within ${demandDeadlineMs} ms: ${cause}`);
    for (const transfer of this.transfers) {
      if (transfer.priority !== "demand") continue;
      const isLate = late.some(({ first, last }) => transfer.overlaps(first, last));
      if (isLate && !this.#demands.overlap(transfer.firstUnit, transfer.lastUnit)) {
        transfer.cancel("Nobody waits for it any more");
      }
    }
    this.#armDeadline();
  }

  /** Frees a waiting read's unit from a request for nobody in which it lies far behind. */
  #takeBack(demand: Demand): number | undefined {
    const { ledger } = this.#options;
    const missing = ledger.firstMissing(demand.first, demand.last);
    if (missing === undefined) return undefined;
    for (const transfer of this.transfers) {
      if (transfer.priority === "demand" || !transfer.overlaps(missing, missing)) continue;
      if (ledger.units.blobOffset(missing) - transfer.position <= INTERRUPT_DISTANCE_BYTES) return undefined;
      this.#cut(transfer);
      return ledger.firstWanted(demand.first, demand.last);
    }
    return undefined;
  }

  #cut(transfer: Transfer): boolean {
    const last = transfer.lastUnit;
    const dropped = transfer.cut();
    if (dropped === undefined) return false;
    this.#options.ledger.release(dropped, last);
    return true;
  }

  /** The first wanted unit whose bytes have not come wrong too often. */
  nextHealthy(from: number, last: number): number | undefined {
    const { ledger } = this.#options;
    for (let unit = ledger.firstWanted(from, last); unit !== undefined; ) {
      if (ledger.failures(unit) < CORRUPT_ATTEMPTS_MAX) return unit;
      unit = ledger.firstWanted(unit + 1, last);
    }
    return undefined;
  }

  /** A miss of units that seem present: takes over what the plane says; true if any of them is missing after all. */
  #isMissingInPlane(first: number, last: number): boolean {
    const { plane, number } = this.#options;
    const presence = plane.presence(number);
    let isMissing = false;
    for (let unit = first; unit <= last; unit += 1) {
      if (((presence[unit >>> 3] ?? 0) & (1 << (unit & 7))) !== 0) continue;
      isMissing = true;
      this.damaged(unit);
    }
    return isMissing;
  }
}
