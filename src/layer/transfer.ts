import { unavailable } from "../errors/index.js";
import { type IngestOptions, unitOutcomes } from "../fuse/index.js";
import type { BlobSource } from "../registry/index.js";
import { EarlyTries } from "./early-tries.js";
import type { TransferPriority } from "./events.js";
import type { RequestPlan } from "./plan-request.js";
import type { RequestSteps } from "./request-steps.js";
import type { UnitLedger } from "./unit-ledger.js";

/** Who wants to know of each unit that a request brings. */
export interface Carrying {
  /** `isLate`: a read waited for it. */
  stored(unit: number, isLate: boolean): void;
  ended(transfer: Transfer, hasFailed: boolean): void;
}

export interface TransferOptions {
  readonly plan: RequestPlan;
  readonly priority: TransferPriority;
  readonly layer: number;
  readonly ledger: UnitLedger;
  readonly ingest: (options: IngestOptions) => Promise<Uint8Array>;
  /** The first unit of a range that a read waits for; absent: nobody is answered before a stream has come. */
  readonly waitedFor?: (first: number, last: number) => number | undefined;
  readonly steps: RequestSteps;
  readonly onBytes: (count: number) => void;
  /** One outcome a unit, from `firstUnit` on. */
  readonly onOutcomes: (firstUnit: number, outcomes: Uint8Array) => void;
}

/**
 * One range request on its way. Bytes are gathered in one buffer; each stream goes to the native plane the moment its
 * last byte is here, so the first unit is answered while the rest still arrives; and sooner where a read waits for one of
 * the first units of a long stream.
 */
export class Transfer {
  readonly priority: TransferPriority;
  readonly steps: RequestSteps;
  readonly firstUnit: number;
  readonly length: number;
  readonly #options: TransferOptions;
  readonly #controller = new AbortController();
  readonly #ingests: Promise<void>[] = [];
  #lastUnit: number;
  #received = 0;
  /** The first stream that is not complete. */
  #stream: { readonly first: number; readonly last: number };
  #isCut = false;
  readonly #early: EarlyTries;
  #isTrying = false;
  #isWhole = false;

  constructor(options: TransferOptions) {
    this.#options = options;
    this.priority = options.priority;
    this.steps = options.steps;
    this.firstUnit = options.plan.firstUnit;
    this.length = options.plan.length;
    this.#lastUnit = options.plan.lastUnit;
    this.#stream = options.ledger.units.streamOf(options.plan.firstUnit);
    this.#early = new EarlyTries(options.ledger.units);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** The last unit that this request still brings. */
  get lastUnit(): number {
    return this.#lastUnit;
  }

  /** Offset in the blob of the next byte. */
  get position(): number {
    return this.#options.plan.offset + this.#received;
  }

  /** Bytes that have not come yet. */
  get bytesLeft(): number {
    return this.length - this.#received;
  }

  /** All that was asked for came. */
  get isWhole(): boolean {
    return this.#isWhole;
  }

  get isCanceled(): boolean {
    return this.#controller.signal.aborted;
  }

  overlaps(first: number, last: number): boolean {
    return this.firstUnit <= last && this.#lastUnit >= first;
  }

  /** Ends when all units are stored or refused. @throws what the source throws */
  async run(source: BlobSource): Promise<void> {
    const failure = await this.#receive(source).then(
      () => undefined,
      (thrown: unknown) => ({ thrown }),
    );
    this.steps.received();
    await Promise.all(this.#ingests);
    if (failure !== undefined && !this.#isCut) throw failure.thrown;
    this.#isWhole = !this.#isCut;
  }

  /** Lets the stream that is arriving end and drops the rest; returns the first unit dropped, if any is. */
  cut(): number | undefined {
    const { ledger } = this.#options;
    // All of it came and is being stored: behind the layer's last unit there is no next one.
    if (this.#stream.first > this.#lastUnit) return undefined;
    const isArriving = this.position > ledger.units.blobOffset(this.#stream.first);
    const last = isArriving ? this.#stream.last : this.#stream.first - 1;
    if (last >= this.#lastUnit) return undefined;
    this.#lastUnit = last;
    this.#isCut = true;
    if (!isArriving) this.cancel("Its units are wanted sooner, or by nobody");
    return last + 1;
  }

  cancel(why: string): void {
    this.#controller.abort(new DOMException(why, "AbortError"));
  }

  async #receive(source: BlobSource): Promise<void> {
    const { offset, length } = this.#options.plan;
    this.signal.throwIfAborted();
    const buffer = Buffer.allocUnsafeSlow(length);
    for await (const piece of source.readRange({
      offset,
      length,
      signal: this.signal,
      priority: this.priority,
    })) {
      this.steps.came(piece.length);
      this.#options.onBytes(piece.length);
      this.#received += piece.copy(
        buffer,
        this.#received,
        0,
        Math.min(piece.length, length - this.#received),
      );
      this.#handOver(buffer);
      this.#handOverEarly(buffer);
      if (this.#isCut && this.#stream.first > this.#lastUnit) return;
    }
    if (this.#stream.first <= this.#lastUnit) {
      throw unavailable(`Cannot read ${source.description}: want ${length} bytes, got ${this.#received}`, {
        subject: source.digest,
        reason: "source-short",
      });
    }
  }

  /** Gives runs of streams that are complete and not present to the native plane. */
  #handOver(buffer: Buffer): void {
    const { ledger } = this.#options;
    let runFirst: number | undefined;
    let runEnd = 0;
    while (this.#stream.first <= this.#lastUnit) {
      const { first, last } = this.#stream;
      if (ledger.units.blobEnd(first) > this.position) break;
      if (!ledger.hasAll(first, last)) {
        runFirst ??= first;
        runEnd = Math.max(runEnd, ledger.units.blobEnd(first));
      } else if (runFirst !== undefined) {
        this.#ingest({ buffer, first: runFirst, last: first - 1, end: runEnd });
        runFirst = undefined;
        runEnd = 0;
      }
      this.#stream =
        last + 1 < ledger.units.count ? ledger.units.streamOf(last + 1) : { first: last + 1, last };
    }
    if (runFirst !== undefined)
      this.#ingest({ buffer, first: runFirst, last: this.#stream.first - 1, end: runEnd });
  }

  /** Has the first units of the stream that is arriving decoded, where a read waits for one of them. */
  #handOverEarly(buffer: Buffer): void {
    const { plan, layer, ledger, ingest, onOutcomes, waitedFor } = this.#options;
    const { first, last } = this.#stream;
    if (this.#isTrying || this.isCanceled || first === last || first > this.#lastUnit) return;
    const blobOffset = ledger.units.blobOffset(first);
    const here = this.position - blobOffset;
    const wanted = here > 0 ? waitedFor?.(first, last) : undefined;
    if (wanted === undefined || !this.#early.isDue({ first, last, wanted, here })) return;
    this.#isTrying = true;
    const bytes = buffer.subarray(blobOffset - plan.offset, this.position - plan.offset);
    const tried = ingest({ layer, firstUnit: first, lastUnit: last, bytes, blobOffset })
      .then((outcomes) => {
        // What does not come out now may do so with all bytes: only they tell that it is wrong.
        const count = outcomes.findIndex(
          (outcome) => outcome !== unitOutcomes.stored && outcome !== unitOutcomes.alreadyPresent,
        );
        const come = count < 0 ? outcomes : outcomes.subarray(0, count);
        if (come.length > 0) onOutcomes(first, come);
      })
      .finally(() => {
        this.#isTrying = false;
        // More has come meanwhile.
        this.#handOverEarly(buffer);
      });
    tried.catch(() => undefined);
    this.#ingests.push(tried);
  }

  #ingest(run: { buffer: Buffer; first: number; last: number; end: number }): void {
    const { plan, layer, ledger, ingest, onOutcomes } = this.#options;
    const blobOffset = ledger.units.blobOffset(run.first);
    const bytes = run.buffer.subarray(blobOffset - plan.offset, run.end - plan.offset);
    const stored = ingest({ layer, firstUnit: run.first, lastUnit: run.last, bytes, blobOffset }).then(
      (outcomes) => onOutcomes(run.first, outcomes),
    );
    // Whoever awaits `run` sees the failure; until then it must not count as unhandled.
    stored.catch(() => undefined);
    this.#ingests.push(stored);
  }
}
