import { alreadyExists, failedPrecondition, LazuliError } from "../errors/index.js";
import { parseFilters } from "../filters/index.js";
import type { LayerEngine, LayerOwner } from "../layer/index.js";
import { type Metadata, requireActive, type SnapshotRow, SnapshotTable } from "../metadata/index.js";
import { log } from "../observe/index.js";
import type {
  CommitSnapshot,
  CreateSnapshot,
  Mount,
  SnapshotInfo,
  Snapshotter,
  SnapshotUsage,
  UpdateSnapshot,
} from "./contract.js";
import { diskUsage } from "./disk-usage.js";
import { checkLabels, labelNames } from "./labels.js";
import { LayerSweeper } from "./layer-sweeper.js";
import { LayerUses } from "./layer-uses.js";
import { NeighbourLayers } from "./neighbour-layers.js";
import { detectOverlay, type OverlayOptions, overlayMounts } from "./overlay.js";
import { type RemoteAttempt, RemoteLayers } from "./remote-layers.js";
import type { LayerResolver } from "./resolver.js";
import { SnapshotFolders } from "./snapshot-folders.js";
import { fieldsOf, infoOf, updatedLabels } from "./snapshot-info.js";

export interface LazySnapshotterOptions {
  /** Folder for the ordinary snapshots, on a local file system that overlayfs takes as an upper layer. */
  readonly root: string;
  readonly metadata: Metadata;
  readonly engine: LayerEngine;
  readonly resolver: LayerResolver;
  /** The system's clock in nanoseconds since 1970. */
  readonly now: () => bigint;
  /** syncfs(2) of the file system that holds a folder. */
  readonly syncFileSystem: (folder: string) => Promise<void>;
  /** Longest time for one attempt to have a layer lazily. */
  readonly resolveTimeoutMs?: number;
  /** A layer stays in the engine for this long after its last snapshot. */
  readonly layerGraceMs?: number;
  /** Default: what this kernel needs. */
  readonly overlay?: OverlayOptions;
}

/** The snapshotter with what operators look at. */
export interface LazySnapshotter extends Snapshotter {
  /** All snapshots in name order, with layer and fallback reason. */
  rows(): readonly SnapshotRow[];
}

const RESOLVE_TIMEOUT_MS = 30_000;
const LAYER_GRACE_MS = 300_000;

/** containerd's overlayfs snapshotter, whose layers may be lazy ones of the engine. @throws INVALID_ARGUMENT */
export async function createLazySnapshotter(options: LazySnapshotterOptions): Promise<LazySnapshotter> {
  const folders = await SnapshotFolders.open(options.root);
  const table = new SnapshotTable({
    metadata: options.metadata,
    now: options.now,
    idTaken: await folders.idTaken(),
  });
  return new OverlaySnapshotter(options, folders, table, options.overlay ?? (await detectOverlay()));
}

interface NewSnapshotFacts {
  readonly kind: "active" | "view";
  readonly attempt: RemoteAttempt | undefined;
}

class OverlaySnapshotter implements LazySnapshotter {
  readonly #folders: SnapshotFolders;
  readonly #table: SnapshotTable;
  readonly #engine: LayerEngine;
  readonly #overlay: OverlayOptions;
  readonly #syncFileSystem: (folder: string) => Promise<void>;
  readonly #neighbours: NeighbourLayers;
  readonly #remote: RemoteLayers;
  readonly #sweeper: LayerSweeper;

  constructor(
    options: LazySnapshotterOptions,
    folders: SnapshotFolders,
    table: SnapshotTable,
    overlay: OverlayOptions,
  ) {
    const { engine, resolver } = options;
    const uses = new LayerUses(engine);
    this.#folders = folders;
    this.#table = table;
    this.#engine = engine;
    this.#overlay = overlay;
    this.#syncFileSystem = options.syncFileSystem;
    this.#neighbours = new NeighbourLayers({ engine, uses });
    this.#remote = new RemoteLayers({
      engine,
      resolver,
      table,
      uses,
      neighbours: this.#neighbours,
      resolveTimeoutMs: options.resolveTimeoutMs ?? RESOLVE_TIMEOUT_MS,
    });
    this.#sweeper = new LayerSweeper({
      engine,
      table,
      uses,
      graceMs: options.layerGraceMs ?? LAYER_GRACE_MS,
    });
  }

  rows(): readonly SnapshotRow[] {
    return this.#table.rows();
  }

  async stat(name: string): Promise<SnapshotInfo> {
    return infoOf(this.#table.get(name));
  }

  async update(request: UpdateSnapshot): Promise<SnapshotInfo> {
    checkLabels(request.labels);
    return infoOf(await this.#table.relabel(request.name, (labels) => updatedLabels(labels, request)));
  }

  async usage(name: string, options: { signal?: AbortSignal | undefined } = {}): Promise<SnapshotUsage> {
    const row = this.#table.get(name);
    if (row.kind === "active") return await diskUsage(this.#folders.upper(row.id), options);
    if (row.layerDigest === undefined) return row.usage;
    const { bytes, inodes } = await this.#engine.usage(row.layerDigest);
    return { size: bytes, inodes };
  }

  async mounts(key: string, options: { signal?: AbortSignal | undefined } = {}): Promise<readonly Mount[]> {
    const row = this.#table.get(key);
    if (row.kind === "committed") {
      throw failedPrecondition(`requested snapshot ${key} not active or view`, {
        subject: key,
        reason: "snapshot-committed",
      });
    }
    return await this.#mountsOf(row, options.signal);
  }

  async prepare(request: CreateSnapshot): Promise<readonly Mount[]> {
    const target = request.labels[labelNames.target] ?? "";
    if (target === "") return await this.#create(request, { kind: "active", attempt: undefined });
    checkLabels(request.labels);
    await this.#table.checkNew(request.key, request.parent);
    const attempt = await this.#remote.attempt(request, target);
    if (attempt.kind === "prepared") {
      throw alreadyExists(`target snapshot ${JSON.stringify(target)}`, {
        subject: target,
        reason: "remote-snapshot-prepared",
      });
    }
    return await this.#create(request, { kind: "active", attempt });
  }

  async view(request: CreateSnapshot): Promise<readonly Mount[]> {
    return await this.#create(request, { kind: "view", attempt: undefined });
  }

  async commit(request: CommitSnapshot): Promise<void> {
    checkLabels(request.labels);
    const { key, name, parent, labels, signal } = request;
    const row = this.#table.get(key);
    requireActive(row);
    const upper = this.#folders.upper(row.id);
    const usage = await diskUsage(upper, { signal });
    // The row may not promise a layer whose bytes are still in memory.
    await this.#syncFileSystem(upper);
    await this.#table.commit({ key, name, parent, labels, usage });
  }

  async remove(name: string): Promise<void> {
    await this.#table.remove(name);
  }

  async *walk(filters: readonly string[]): AsyncIterable<SnapshotInfo> {
    const matches = parseFilters(filters);
    for (const row of this.#table.rows()) if (matches(fieldsOf(row))) yield infoOf(row);
  }

  async cleanup(): Promise<void> {
    await this.#folders.removeUnknown(() => new Set(this.#table.rows().map((row) => String(row.id))));
    await this.#sweeper.sweep();
  }

  async close(): Promise<void> {
    this.#sweeper.close();
    await this.#neighbours.close();
  }

  async #create(request: CreateSnapshot, facts: NewSnapshotFacts): Promise<readonly Mount[]> {
    const { key, parent, labels, signal } = request;
    checkLabels(labels);
    await this.#table.checkNew(key, parent);
    signal?.throwIfAborted();
    const id = this.#table.allocateId();
    // A view of a parent shows the parent: it needs no folder.
    const needsFolder = facts.kind === "active" || parent === "";
    const { attempt } = facts;
    using _pending = needsFolder
      ? await this.#folders.create({ id, hasWork: facts.kind === "active", owner: await this.#owner(parent) })
      : undefined;
    const row = await this.#table.create({
      id,
      name: key,
      parent,
      kind: facts.kind,
      labels,
      origin: attempt?.kind === "fallback" ? attempt.origin : undefined,
      fallback: attempt?.kind === "fallback" ? attempt.fallback : undefined,
    });
    try {
      return await this.#mountsOf(row, signal);
    } catch (thrown) {
      // The client takes it for not made, and will ask for the same key again.
      await this.#table.remove(key).catch((second: unknown) => {
        log.warn("Cannot take back a snapshot", { key, error: LazuliError.from(second).message });
      });
      throw thrown;
    }
  }

  /** Owner for the upper layer above a parent; undefined without one. */
  async #owner(parent: string): Promise<LayerOwner | undefined> {
    if (parent === "") return undefined;
    const row = this.#table.get(parent);
    // Never by a look at the mount: the answer may need this very thread.
    if (row.layerDigest !== undefined) return await this.#engine.rootOwner(row.layerDigest);
    return await this.#folders.owner(row.id);
  }

  async #mountsOf(row: SnapshotRow, signal: AbortSignal | undefined): Promise<readonly Mount[]> {
    const lowers = await Promise.all(
      this.#table
        .ancestors(row)
        .map(({ id, layerDigest }) =>
          layerDigest === undefined
            ? this.#folders.upper(id)
            : this.#engine.mountPoint(layerDigest, { signal }),
        ),
    );
    const [upper, work] = [this.#folders.upper(row.id), this.#folders.work(row.id)];
    return overlayMounts({ row, upper, work, lowers }, this.#overlay);
  }
}
