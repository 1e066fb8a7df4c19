import { mkdir, realpath } from "node:fs/promises";
import pLimit from "p-limit";
import { KeyedQueue, linkSignals, SingleFlight } from "../async/index.js";
import type { Digest } from "../bytes/index.js";
import { notFound, unavailable } from "../errors/index.js";
import { type DescriptorStore, type NativeBinding, type NativePlane, sessionKinds } from "../fuse/index.js";
import { log } from "../observe/index.js";
import type { StreamProcessor } from "../processors/index.js";
import type { BlobSource } from "../registry/index.js";
import type { UnitTable } from "../units/index.js";
import { type BudgetFigures, type Budgets, openBudgets } from "./budgets.js";
import { checkArchive } from "./check-archive.js";
import { type Clock, systemClock, type Timer } from "./clock.js";
import { Compilers } from "./compile-layer.js";
import type {
  LayerEngine,
  LayerOrigin,
  LayerOwner,
  LayerRequest,
  LayerStatus,
  LayerUsage,
} from "./contract.js";
import { DecodedSource } from "./decoded-source.js";
import { ensuredChannel } from "./events.js";
import { isForsaken } from "./forsaken.js";
import { Layer } from "./layer.js";
import { deleteLayerFolder, type LayerFiles, openLayerFolder } from "./layer-folder.js";
import { addToPlane, LayerMounts } from "./layer-mounts.js";
import { LayerNumbers } from "./layer-numbers.js";
import type { LayerRecord } from "./layer-record.js";
import { LazySource, type OpenSource } from "./lazy-source.js";
import { FLUSH_CLOSE_MS, RECONCILE_MS, WAITING_READS_MAX } from "./limits.js";
import { LinkEstimate } from "./link-estimate.js";
import { makeLayer } from "./make-layer.js";
import { type Rung, rungOf } from "./mount-ladder.js";
import { openFolders } from "./open-folders.js";
import { layerPaths, statePaths } from "./paths.js";
import { ProcessedSource } from "./processed-source.js";
import { reconcileMounts } from "./reconcile-mounts.js";
import type { ReplayHandle, ReplayPlan } from "./replay-contract.js";
import type { TouchedStart } from "./replay-figures.js";
import { Scheduler, type SchedulerFigures } from "./scheduler.js";
import { Sessions, type StoredSession, type StoredSessions } from "./sessions.js";
import type { SpaceBudgetFacts } from "./space-contract.js";
import { clearStaleMounts, type LivingMounts } from "./stale-mounts.js";
import { waitAtMost } from "./wait-at-most.js";

export interface LayerEngineOptions {
  readonly binding: NativeBinding;
  /** Folder for what survives a restart: existing, private, on a local file system. */
  readonly root: string;
  /** Folder for mounts: existing, private. */
  readonly state: string;
  /** Longest time that a read may wait, in milliseconds. */
  readonly demandDeadlineMs: number;
  /** Most bytes that are fetched beyond a read; 0: none. */
  readonly readaheadMaxBytes: number;
  /** Fetch the rest of each layer while nobody waits, and at most so many bytes a second of it; 0, unless given: no limit. */
  readonly backgroundFill: boolean;
  readonly fillBytesPerSecond?: number;
  readonly mount: "auto" | "erofs" | "fuse-tree";
  readonly fuseThreads: number;
  readonly workerThreads: number;
  /** Of the disk; absent: no limit. */
  readonly budget?: SpaceBudgetFacts | undefined;
  /** What makes a layer of blobs of other media types, in order of preference; absent: nothing does. */
  readonly processors?: readonly StreamProcessor[];
  /** Holds the FUSE mounts for the next process; absent: they end with this one. The engine closes it. */
  readonly descriptorStore?: DescriptorStore | undefined;
  /** Opens the source of a layer that is known from an earlier process, at its first miss. */
  readonly openSourceFor: (
    origin: LayerOrigin,
    digest: Digest,
    options: { signal?: AbortSignal | undefined },
  ) => Promise<BlobSource>;
}

/** The engine with what operators look at. */
export interface OpenLayerEngine extends LayerEngine {
  readonly rung: Rung;
  readonly plane: NativePlane;
  readonly figures: SchedulerFigures;
  readonly budgets: BudgetFigures;
  /** @throws NOT_FOUND */
  units(digest: Digest): UnitTable;
  /** Compares what is mounted with what should be, and mends it; done every minute anyway. */
  reconcileMounts(): Promise<void>;
  /** Uses a quiet moment to be quick at the first layer that is made; see rehearse-compile.ts. */
  rehearse(): void;
  /** Fetches what a start is expected to read, behind reads that wait. Never throws for bad advice. */
  replay(plan: ReplayPlan): ReplayHandle;
  /** Reads have used units of a layer; a layer of which much is used is fetched at full speed. */
  touched(layer: number, units: readonly number[]): void;
  /** Holds what replays brought against what a start touched. */
  measureReplays(start: TouchedStart): void;
}

/** Opens the engine: layers on disk are served at once, without the network. @throws FAILED_PRECONDITION */
export async function openLayerEngine(options: LayerEngineOptions): Promise<OpenLayerEngine> {
  const { binding } = options;
  const state = await realpath(options.state);
  const root = await realpath(options.root);
  const found = await openFolders(root);
  const { backgroundFill, fillBytesPerSecond = 0 } = options;
  const budgets: Budgets = await openBudgets({
    ...{ ...options, root, state, clock: systemClock },
    wake: () => scheduler.wake(),
    limitWorkers: (workers) => plane.limitWorkers(workers),
  });
  const scheduler = new Scheduler({
    ...{ clock: systemClock, backgroundFill, fillBytesPerSecond },
    bytesInFlightMax: () => budgets.bytesInFlightMax,
  });
  const plane = new binding.Plane({
    fuseThreads: options.fuseThreads,
    workerThreads: options.workerThreads,
    waitingReadsMax: WAITING_READS_MAX,
    onMiss: (misses) => scheduler.onMiss(misses),
    onInterrupt: (reads) => scheduler.onInterrupt(reads),
    onDamaged: (damaged) => scheduler.onDamaged(damaged),
    onRefused: (refused) => scheduler.onRefused(refused),
  });
  try {
    const sessions = new Sessions({ binding, plane, store: options.descriptorStore });
    const stored = await sessions.find();
    const metaPaths = new Map(found.map((files) => [files.record.number, files.paths.meta]));
    const living = await clearStaleMounts({ binding, state, metaPaths, stored });
    await mkdir(statePaths(state).layers, { recursive: true, mode: 0o700 });
    const rung = await rungOf({ ...options, plane, sessions, state, stored, living });
    const parts = { ...options, root, state, plane, rung, scheduler, clock: systemClock, sessions, budgets };
    const engine = new Engine(parts);
    for (const files of found)
      await engine.adopt(files, { living, tree: stored.trees.get(files.record.number) });
    await engine.serveStored(stored);
    return engine;
  } catch (thrown) {
    plane.close();
    budgets.close();
    options.descriptorStore?.close();
    await Promise.all(found.map((files) => files.data.close()));
    throw thrown;
  }
}

interface EngineParts extends LayerEngineOptions {
  readonly plane: NativePlane;
  readonly rung: Rung;
  readonly scheduler: Scheduler;
  readonly budgets: Budgets;
  readonly clock: Clock;
  readonly sessions: Sessions;
}

class Engine implements OpenLayerEngine {
  readonly rung: Rung;
  readonly plane: NativePlane;
  readonly #parts: EngineParts;
  readonly #layers = new Map<Digest, Layer>();
  readonly #ensuring = new SingleFlight<Digest, void>();
  readonly #changing = new KeyedQueue<Digest>();
  readonly #compilers = new Compilers();
  readonly #link: LinkEstimate;
  readonly #verifying = pLimit(1);
  readonly #ending = new AbortController();
  readonly #numbers: LayerNumbers;
  #reconciling: Timer | undefined;
  #closing: Promise<void> | undefined;

  constructor(parts: EngineParts) {
    this.#parts = parts;
    this.rung = parts.rung;
    this.plane = parts.plane;
    this.#link = new LinkEstimate(parts.clock);
    this.#numbers = new LayerNumbers(parts.state);
    this.#reconcileLater();
  }

  get figures(): SchedulerFigures {
    return this.#parts.scheduler.figures;
  }

  get budgets(): BudgetFigures {
    return this.#parts.budgets.figures;
  }

  rehearse(): void {
    this.#compilers.rehearse();
  }

  replay(plan: ReplayPlan): ReplayHandle {
    return this.#parts.scheduler.replay(plan, { isHint: false });
  }

  touched(layer: number, units: readonly number[]): void {
    this.#parts.scheduler.onTouched(layer, units);
  }

  measureReplays(start: TouchedStart): void {
    this.#parts.scheduler.measureReplays(start);
  }

  /** Takes over a layer from disk. A layer that the plane refuses is left out. */
  async adopt(
    files: LayerFiles,
    found: { readonly living: LivingMounts; readonly tree: StoredSession | undefined },
  ): Promise<void> {
    const { origin, digest, number } = files.record;
    const { living, tree } = found;
    this.#numbers.taken(number);
    try {
      const open = this.#sourceOf(files.record, (options) =>
        this.#parts.openSourceFor(origin, digest, options),
      );
      const mounts = { hasLocal: living.local.has(number), hasFuse: living.fuse.has(number), tree };
      await this.#register({ files, mounts, open, opened: undefined, indexBytes: 0 });
    } catch (thrown) {
      log.warn("Left out a layer that the data plane refuses", { digest, error: String(thrown) });
    }
  }

  /** Answers for the flat mounts of an earlier process, once all layers are there. */
  async serveStored(stored: StoredSessions): Promise<void> {
    const { sessions } = this.#parts;
    const numbers = new Set([...this.#layers.values()].map((layer) => layer.record.number));
    for (const flat of stored.flats) await sessions.adopt(flat, { kind: sessionKinds.flat, layer: 0 });
    for (const [number, tree] of stored.trees) if (!numbers.has(number)) await sessions.forget(tree);
    if (stored.flats.length > 0 || stored.trees.size > 0) {
      log.info("Went on with the mounts of an earlier process", {
        flat: stored.flats.length,
        trees: stored.trees.size,
      });
    }
  }

  async ensure(request: LayerRequest, options: { signal?: AbortSignal | undefined }): Promise<void> {
    this.#checkOpen();
    const known = this.#layers.get(request.digest);
    if (known !== undefined) {
      known.source.offer(this.#sourceOf(known.record, request.openSource));
      known.prefetch();
      return;
    }
    await this.#ensuring.run(
      request.digest,
      (signal) => this.#changing.run(request.digest, () => this.#make(request, signal)),
      options.signal,
    );
  }

  has(digest: Digest): boolean {
    return this.#layers.has(digest);
  }

  async mountPoint(digest: Digest, options: { signal?: AbortSignal | undefined } = {}): Promise<string> {
    this.#checkOpen();
    this.#parts.scheduler.expectStart();
    const layer = this.#layer(digest);
    return await layer.mountPoint(options.signal).catch(async (thrown: unknown) => {
      const { state } = this.#parts;
      if (await isForsaken(thrown, { ...layer.record, mounts: layer.mounts, state })) {
        await this.#changing.run(digest, () => this.#leaveOut(layer));
      }
      throw thrown;
    });
  }

  async rootOwner(digest: Digest): Promise<LayerOwner> {
    return this.#layer(digest).rootOwner;
  }

  status(digest: Digest): LayerStatus {
    return this.#layer(digest).status;
  }

  units(digest: Digest): UnitTable {
    return this.#layer(digest).units;
  }

  list(): readonly LayerStatus[] {
    return [...this.#layers.values()].map((layer) => layer.status);
  }

  async usage(digest: Digest): Promise<LayerUsage> {
    return await this.#layer(digest).usage();
  }

  async remove(digest: Digest): Promise<void> {
    this.#checkOpen();
    await this.#changing.run(digest, async () => {
      const layer = this.#layers.get(digest);
      if (layer !== undefined) await this.#leaveOut(layer);
      await deleteLayerFolder(this.#parts.root, digest);
    });
  }

  /** Takes a layer out of the node, but leaves its folder. */
  async #leaveOut(layer: Layer): Promise<void> {
    const { digest } = layer.record;
    if (this.#layers.get(digest) !== layer) return;
    this.#layers.delete(digest);
    try {
      await layer.remove();
    } catch (thrown) {
      // It can be removed again; its folder must not go while it is mounted.
      this.#layers.set(digest, layer);
      throw thrown;
    }
  }

  async close(): Promise<void> {
    this.#closing ??= this.#close();
    await this.#closing;
  }

  async #close(): Promise<void> {
    const { scheduler, plane, sessions, state, descriptorStore, clock } = this.#parts;
    const layers = [...this.#layers.values()];
    this.#reconciling?.cancel();
    const isLeft = sessions.areStored && layers.some(({ mounts }) => mounts.isThroughFuse);
    if (isLeft) {
      // Readers go on meanwhile; from then on they wait for the next process.
      await waitAtMost(FLUSH_CLOSE_MS, { clock, work: layers.map((layer) => layer.flush()) });
      plane.park();
    }
    this.#ending.abort(unavailable("The layer engine is closed", { reason: "engine-closed" }));
    scheduler.close();
    this.#parts.budgets.close();
    await waitAtMost(FLUSH_CLOSE_MS, { clock, work: layers.map((layer) => layer.close()) });
    await this.#compilers.close();
    if (!isLeft && sessions.areStored) await sessions.end(statePaths(state).data);
    plane.close();
    descriptorStore?.close();
  }

  async reconcileMounts(): Promise<void> {
    const { rung } = this.#parts;
    await reconcileMounts({
      ...this.#parts,
      layers: () => [...this.#layers.values()],
      hasFlat: rung.kind === "erofs",
    });
  }

  #reconcileLater(): void {
    this.#reconciling = this.#parts.clock.after(RECONCILE_MS, () => {
      void this.reconcileMounts()
        .catch((thrown: unknown) => {
          log.warn("Cannot compare what is mounted with what should be", { error: String(thrown) });
        })
        .finally(() => {
          if (this.#closing === undefined) this.#reconcileLater();
        });
    });
  }

  async #make(request: LayerRequest, wanted: AbortSignal): Promise<void> {
    if (this.#layers.has(request.digest)) return;
    using linked = linkSignals([wanted, this.#ending.signal]);
    const { signal } = linked;
    const { root, binding, processors = [], scheduler } = this.#parts;
    using making = scheduler.making();
    const startedAt = performance.now();
    const source = await this.#measured(request.openSource)({ signal });
    const made = await this.#parts.budgets.admit(request, source.size, () =>
      makeLayer({
        ...{ root, request, source, processors, binding, signal },
        compilers: this.#compilers,
        onIndexRead: making.indexRead,
        takeNumber: () => this.#numbers.take(),
      }),
    );
    const files = await openLayerFolder(layerPaths(root, request.digest).folder);
    if (made.isWhole) for (let unit = 0; unit < files.units.count; unit += 1) files.present.set(unit, true);
    const layer = await this.#register({
      files,
      mounts: { hasLocal: false, hasFuse: false, tree: undefined },
      open: this.#sourceOf(files.record, request.openSource),
      opened: files.record.processing === undefined && !files.record.isDecoded ? source : undefined,
      indexBytes: made.fetchedBytes,
    });
    if (made.isWhole) layer.written(made);
    ensuredChannel.publish({
      digest: request.digest,
      units: files.units.count,
      milliseconds: performance.now() - startedAt,
    });
    layer.prefetch();
  }

  async #register(options: {
    readonly files: LayerFiles;
    readonly mounts: {
      readonly hasLocal: boolean;
      readonly hasFuse: boolean;
      readonly tree: StoredSession | undefined;
    };
    readonly open: OpenSource;
    readonly opened: BlobSource | undefined;
    readonly indexBytes: number;
  }): Promise<Layer> {
    const { files, mounts, indexBytes } = options;
    const { binding, plane, rung, state, scheduler, clock, sessions } = this.#parts;
    const { number, digest, blobSize, metaSha256 } = files.record;
    try {
      await addToPlane({
        plane,
        number,
        files,
        hasTree: rung.kind === "fuse-tree" || mounts.tree !== undefined,
      });
    } finally {
      await files.data.close();
      await files.windows?.close();
    }
    const { tree } = mounts;
    const session = tree && (await sessions.adopt(tree, { kind: sessionKinds.tree, layer: number }));
    const layer = new Layer({
      files,
      plane,
      mounts: new LayerMounts({
        binding,
        sessions,
        state,
        rung,
        number,
        digest,
        metaSha256,
        paths: files.paths,
        found: {
          hasLocal: mounts.hasLocal,
          hasFuse: mounts.hasFuse && (tree === undefined || session !== undefined),
          session,
        },
      }),
      source: new LazySource({ digest, blobSize, open: options.open, opened: options.opened }),
      scheduler,
      space: this.#parts.budgets.space,
      clock,
      readaheadMaxBytes: this.#parts.readaheadMaxBytes,
      link: this.#link,
      demandDeadlineMs: this.#parts.demandDeadlineMs,
      verifying: this.#verifying,
      indexBytes,
      checkArchive: async () => await checkArchive(this.#compilers, files),
      windows: {
        decompress: async (frame, maxSize) => await binding.decompressFrame(frame, maxSize),
        sourceOf: ({ digest: blob, size }) => this.#blobBeside(files.record, { digest: blob, size }),
      },
    });
    this.#layers.set(digest, layer);
    return layer;
  }

  /** Where the units of a layer come from. */
  #sourceOf(record: LayerRecord, open: OpenSource): OpenSource {
    const { mediaType, blobSize: size } = record;
    const measured = this.#measured(open);
    const { processors = [], binding, root } = this.#parts;
    const processing =
      record.processing === undefined ? undefined : { ...record.processing, processors, mediaType };
    if (record.isDecoded) {
      const { digest, indexDigest: diffId } = record;
      const { decoded: path } = layerPaths(root, digest);
      const { signal } = this.#ending;
      const from = { binding, mediaType, processing, diffId, signal };
      return async (options) => new DecodedSource({ ...from, source: await measured(options), path, size });
    }
    if (processing === undefined) return measured;
    return async (options) => new ProcessedSource({ source: await measured(options), processing, size });
  }

  /** Another blob of the repository that the layer is from. */
  #blobBeside(
    { origin: { reference } }: LayerRecord,
    { digest, size }: { readonly digest: Digest; readonly size: number },
  ): LazySource {
    const open: OpenSource = (options) => this.#parts.openSourceFor({ reference, size }, digest, options);
    return new LazySource({ digest, blobSize: size, open, opened: undefined });
  }

  #measured(open: OpenSource): OpenSource {
    return async (options) => this.#link.measured(await open(options));
  }

  #layer(digest: Digest): Layer {
    const layer = this.#layers.get(digest);
    if (layer === undefined) {
      throw notFound(`Layer ${digest} does not exist`, { subject: digest, reason: "layer-unknown" });
    }
    return layer;
  }

  #checkOpen(): void {
    if (this.#closing !== undefined) {
      throw unavailable("Cannot use the layer engine: it is closed", { reason: "engine-closed" });
    }
  }
}
