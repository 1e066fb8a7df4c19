import type { LimitFunction } from "p-limit";
import { withSignal } from "../async/index.js";
import { LazuliError } from "../errors/index.js";
import { type NativePlane, unitOutcomes } from "../fuse/index.js";
import { log } from "../observe/index.js";
import type { UnitTable } from "../units/index.js";
import { BitmapFlusher } from "./bitmap-flusher.js";
import { BitmapWriter } from "./bitmap-writer.js";
import type { Clock } from "./clock.js";
import type { LayerOwner, LayerStatus, LayerUsage } from "./contract.js";
import { completeChannel } from "./events.js";
import { hintPlan } from "./hint-plan.js";
import { LayerEviction } from "./layer-eviction.js";
import { LayerFetcher } from "./layer-fetcher.js";
import { folderUsage, type LayerFiles } from "./layer-folder.js";
import type { LayerMounts } from "./layer-mounts.js";
import type { LayerRecord } from "./layer-record.js";
import type { LazySource } from "./lazy-source.js";
import { VERIFY_UNITS_STEP } from "./limits.js";
import type { LinkEstimate } from "./link-estimate.js";
import type { Scheduler } from "./scheduler.js";
import type { SpaceBudget } from "./space-budget.js";
import { SpanWindows, type SpanWindowsOptions } from "./span-windows.js";
import { UnitLedger } from "./unit-ledger.js";
import { WindowChecks } from "./window-checks.js";

export interface LayerOptions {
  readonly files: LayerFiles;
  readonly plane: NativePlane;
  readonly mounts: LayerMounts;
  readonly source: LazySource;
  readonly scheduler: Scheduler;
  readonly space: SpaceBudget;
  readonly clock: Clock;
  readonly readaheadMaxBytes: number;
  readonly link: LinkEstimate;
  readonly demandDeadlineMs: number;
  /** One check of a whole layer at a time on the node. */
  readonly verifying: LimitFunction;
  /** Bytes that making the layer has cost. */
  readonly indexBytes: number;
  /** Compares a complete layer with its archive. @throws DATA_LOSS */
  readonly checkArchive: () => Promise<void>;
  /** Where windows are had from that are not here yet. */
  readonly windows: Pick<SpanWindowsOptions, "sourceOf" | "decompress">;
}

/** One layer that the engine serves: its files, what it fetches, its mounts. */
export class Layer {
  readonly #options: LayerOptions;
  readonly #ledger: UnitLedger;
  readonly #fetcher: LayerFetcher;
  readonly #flusher: BitmapFlusher;
  /** The layer as the budget of the disk sees it. */
  readonly eviction: LayerEviction;
  /** Of a layer whose windows are from an index of others. */
  readonly #windows: WindowChecks | undefined;
  /** Of a layer whose windows are had when they are needed. */
  readonly #spanWindows: SpanWindows | undefined;
  #isClosed = false;
  #goingLocal: Promise<void> | undefined;
  #hasPrefetched = false;
  #wasComplete: boolean;
  #isArchiveChecked: boolean;
  /** Why nobody new may have it: its index does not describe its archive. */
  #refusal: unknown;

  constructor(options: LayerOptions) {
    const { files, plane, scheduler, clock } = options;
    const { number, digest } = files.record;
    this.#options = options;
    this.#ledger = new UnitLedger(files.units, files.present, (delta) => options.space.reserve(delta));
    this.#wasComplete = this.#ledger.isComplete;
    this.#isArchiveChecked = files.record.diffId === undefined;
    const writer = new BitmapWriter(files, plane);
    this.#flusher = new BitmapFlusher({ clock, subject: digest, write: () => writer.write() });
    this.#windows = this.#windowChecks();
    this.#spanWindows =
      files.units.windowCount > 0 && files.record.format === "fine"
        ? new SpanWindows({ ...files, ...options.windows, ledger: this.#ledger })
        : undefined;
    this.#fetcher = new LayerFetcher({
      number,
      digest,
      ledger: this.#ledger,
      source: options.source,
      plane: this.#spanWindows?.decoding(plane) ?? plane,
      clock,
      random: Math.random,
      readaheadMaxBytes: options.readaheadMaxBytes,
      link: options.link,
      demandDeadlineMs: options.demandDeadlineMs,
      wake: () => scheduler.wake(),
      onServed: (waitedMs) => scheduler.onServed(waitedMs),
      onChange: (units) => this.#changed(units),
      onRequest: (plan) => this.#spanWindows?.ahead(plan, options.link.bytesPerRoundTrip),
      onStored: this.#windows === undefined ? undefined : (unit) => this.#windows?.stored(unit),
      space: options.space,
    });
    this.eviction = new LayerEviction({
      ...options,
      ledger: this.#ledger,
      writer,
      windows: this.#windows,
      isAwaited: (first, last) => this.#fetcher.isBusyWith(first, last),
      isBusy: () => this.#isClosed || this.#goingLocal !== undefined,
      onEvicted: () => this.#completeness(),
      onForgotten: () => this.#flusher.changed(1),
    });
    options.space.add(this.eviction);
    scheduler.add(number, this.#fetcher);
  }

  get source(): LazySource {
    return this.#options.source;
  }

  get record(): LayerRecord {
    return this.#options.files.record;
  }

  get units(): UnitTable {
    return this.#ledger.units;
  }

  get rootOwner(): LayerOwner {
    return this.#options.files.record.rootOwner;
  }

  get status(): LayerStatus {
    const { files, mounts, indexBytes } = this.#options;
    const { record, units } = files;
    return {
      digest: record.digest,
      number: record.number,
      format: record.format,
      reference: record.origin.reference,
      blobBytes: record.origin.size ?? record.blobSize,
      dataBytes: this.#ledger.dataBytes,
      cachedBytes: this.#ledger.presentBytes,
      units: units.count,
      cachedUnits: this.#ledger.presentCount,
      fetchedBytes: this.#fetcher.fetchedBytes + indexBytes + (this.#spanWindows?.fetchedBytes ?? 0),
      mountKind: mounts.kind,
      complete: this.#ledger.isComplete,
      lastError:
        this.#refusal === undefined ? this.#fetcher.lastError : LazuliError.from(this.#refusal).message,
    };
  }

  async usage(): Promise<LayerUsage> {
    return await folderUsage(this.#options.files.paths.folder);
  }

  /** Asks once for what a start is expected to read. */
  prefetch(): void {
    const { files, scheduler } = this.#options;
    const plan = hintPlan(files);
    if (this.#hasPrefetched || plan === undefined || this.#ledger.isComplete) return;
    this.#hasPrefetched = true;
    scheduler.replay(plan, { isHint: true });
  }

  /** This process has written all units just now, and had checked them before. */
  written({ isSynced }: { readonly isSynced: boolean }): void {
    const { count } = this.#options.files.units;
    for (let unit = 0; unit < count; unit += 1) this.#ledger.markVerified(unit);
    if (!isSynced) this.#flusher.changed(count);
  }

  /** The folder for a new user, mounted. @throws UNAVAILABLE, DATA_LOSS */
  async mountPoint(signal: AbortSignal | undefined): Promise<string> {
    const { mounts } = this.#options;
    if (this.#refusal !== undefined) throw this.#refusal;
    this.prefetch();
    if (this.#mayBeLocal && this.#isChecked) return await withSignal(mounts.onLocalData(), signal);
    const folder = await withSignal(mounts.throughFuse(), signal);
    this.#goLocal();
    return folder;
  }

  get mounts(): LayerMounts {
    return this.#options.mounts;
  }

  /** Writes down what is here, while it is served. */
  async flush(): Promise<void> {
    // It is written again when the layer is closed, which tells of a failure.
    await this.#flusher.flush().catch(() => undefined);
  }

  /** Stops fetching and writes down what is here. Mounts stay. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#spanWindows?.close();
    await this.#fetcher.close();
    await this.#windows?.end();
    await this.#goingLocal;
    await this.#options.mounts.settle();
    try {
      await this.#flusher.close();
    } catch (thrown) {
      log.warn("Cannot write a layer's bitmap; its last units are fetched again", {
        digest: this.#options.files.record.digest,
        error: String(thrown),
      });
    }
  }

  /** Takes the layer out of the node, except for its folder. */
  async remove(): Promise<void> {
    const { files, plane, mounts, scheduler } = this.#options;
    this.#isClosed = true;
    this.#spanWindows?.close();
    await this.#fetcher.close();
    await this.#windows?.end();
    await this.#goingLocal;
    await this.#flusher.abandon();
    await mounts.remove();
    scheduler.remove(files.record.number);
    this.#options.space.remove(this.eviction);
    plane.removeLayer(files.record.number);
  }

  /** Every unit is present and was checked by this process. */
  get #isChecked(): boolean {
    return this.#ledger.isComplete && this.#firstUnchecked() === undefined;
  }

  #firstUnchecked(): number | undefined {
    return this.#ledger.firstUnverified(0, this.#ledger.units.count - 1);
  }

  #changed(units: number): void {
    this.#options.space.touched(this.eviction);
    this.#flusher.changed(units);
    this.#completeness();
  }

  /** Whether users may be given the data file itself: what they have in use can't be given up. */
  get #mayBeLocal(): boolean {
    const { mounts, space } = this.#options;
    return mounts.canBeLocal && space.mayBeLocal(this.eviction);
  }

  #completeness(): void {
    const { files } = this.#options;
    const isComplete = this.#ledger.isComplete;
    if (isComplete && !this.#wasComplete) {
      completeChannel.publish({ digest: files.record.digest, units: files.units.count });
      this.#goLocal();
    }
    if (!isComplete && this.#wasComplete) this.#leaveLocal();
    this.#wasComplete = isComplete;
  }

  /** Gives a complete layer its local mount, after all its units were checked, without anybody waiting for it. */
  #goLocal(): void {
    const { mounts, verifying, files } = this.#options;
    const hasWork = this.#mayBeLocal || !this.#isArchiveChecked;
    if (!hasWork || this.#goingLocal !== undefined || this.#isClosed || !this.#ledger.isComplete) return;
    this.#goingLocal = verifying(async () => {
      await this.#check();
      if (this.#isClosed || !this.#isChecked) return;
      await this.#flusher.flush();
      await this.#checkArchive();
      if (this.#mayBeLocal && this.#refusal === undefined) await mounts.onLocalData();
    })
      .catch((thrown: unknown) => {
        log.warn("Cannot take a complete layer off FUSE; it is served through it", {
          digest: files.record.digest,
          error: String(thrown),
        });
      })
      .finally(() => {
        this.#goingLocal = undefined;
      });
  }

  async #checkArchive(): Promise<void> {
    if (this.#isArchiveChecked) return;
    try {
      await this.#options.checkArchive();
    } catch (thrown) {
      // What it needs may be missing for a while; a lie stays one.
      if (LazuliError.from(thrown).code !== "DATA_LOSS") throw thrown;
      this.#refuse(thrown);
    }
    this.#isArchiveChecked = true;
  }

  #refuse(thrown: unknown): void {
    const { digest } = this.#options.files.record;
    log.error("Refuse a layer whose index lies", { digest, error: LazuliError.from(thrown).message });
    this.#refusal ??= thrown;
  }

  #windowChecks(): WindowChecks | undefined {
    const { files, plane } = this.#options;
    const { units, paths, record } = files;
    if (units.windowCount === 0 || record.format !== "soci") return undefined;
    return new WindowChecks({
      units,
      paths,
      ledger: this.#ledger,
      verify: async (first, last) => {
        const outcomes = await plane.verify(record.number, first, last);
        return outcomes.every((outcome) => outcome === unitOutcomes.alreadyPresent);
      },
      onLie: (thrown) => this.#refuse(thrown),
      onFailure: (thrown) =>
        log.warn(
          "Cannot compare a layer's windows with its data; its archive is compared when it is complete",
          {
            digest: record.digest,
            error: String(thrown),
          },
        ),
    });
  }

  #leaveLocal(): void {
    const { mounts, files } = this.#options;
    mounts.leaveLocalData().catch((thrown: unknown) => {
      log.warn("Cannot unmount a damaged layer's local data", {
        digest: files.record.digest,
        error: String(thrown),
      });
    });
  }

  async #check(): Promise<void> {
    const { plane, files, scheduler } = this.#options;
    const { number } = files.record;
    for (let unit = this.#firstUnchecked(); unit !== undefined; unit = this.#firstUnchecked()) {
      if (this.#isClosed || !this.#ledger.isComplete) return;
      const last = Math.min(files.units.count - 1, unit + VERIFY_UNITS_STEP - 1);
      const outcomes = await plane.verify(number, unit, last);
      for (const [index, outcome] of outcomes.entries()) {
        if (outcome === unitOutcomes.alreadyPresent) this.#ledger.markVerified(unit + index);
        else scheduler.onDamaged([{ layer: number, unit: unit + index }]);
      }
    }
  }
}
