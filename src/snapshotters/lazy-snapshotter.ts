import { alreadyExists } from "../errors/index.js";
import type { NativeBinding } from "../fuse/index.js";
import type { LayerEngine, StartRecorder } from "../layer/index.js";
import type { Metadata, SnapshotFallback, SnapshotRow } from "../metadata/index.js";
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
import { fallbackChannel } from "./events.js";
import { checkLabels, labelNames } from "./labels.js";
import { LayerSweeper } from "./layer-sweeper.js";
import { LayerUses } from "./layer-uses.js";
import { MendedLayers } from "./mended-layers.js";
import { NeighbourLayers } from "./neighbour-layers.js";
import { detectOverlay, type OverlayOptions } from "./overlay.js";
import type { OverlayIdMapping } from "./overlay-id-mapping.js";
import { createOverlayStorage } from "./overlay-storage.js";
import type { ProjectQuota } from "./project-quota.js";
import { RemoteLayers } from "./remote-layers.js";
import type { LayerResolver } from "./resolver.js";
import { startOf } from "./start-of.js";
import { createStoredSnapshotter, type StoredSnapshotter } from "./stored-snapshotter.js";

export interface LazySnapshotterOptions {
  /** Folder for the ordinary snapshots, on a local file system that overlayfs takes as an upper layer. */
  readonly root: string;
  readonly binding: Pick<NativeBinding, "fileSteps" | "trees">;
  readonly metadata: Metadata;
  readonly engine: LayerEngine;
  readonly resolver: LayerResolver;
  /** The system's clock in nanoseconds since 1970. */
  readonly now: () => bigint;
  /** syncfs(2) of the file system that holds a folder. */
  readonly syncFileSystem: (folder: string) => Promise<void>;
  /** Longest time for one attempt to have a layer lazily. */
  readonly resolveTimeoutMs?: number;
  /** Longest time for one layer that is fetched whole. */
  readonly pullTimeoutMs?: number;
  /** A layer stays in the engine for this long after its last snapshot. */
  readonly layerGraceMs?: number;
  /** Default: what this kernel needs. */
  readonly overlay?: OverlayOptions;
  /** Default: a snapshot whose labels ask for the owners of a user namespace is refused. */
  readonly idMapping?: OverlayIdMapping | undefined;
  /** Default: labels that ask for a limit are ignored. */
  readonly quota?: ProjectQuota | undefined;
  /** Is told of writable snapshots, and of those that go. Default: nobody is. */
  readonly starts?: Pick<StartRecorder, "begin" | "removed"> | undefined;
}

/** The snapshotter with what operators look at. */
export interface LazySnapshotter extends Snapshotter {
  /** All snapshots in name order, with layer and fallback reason. */
  rows(): readonly SnapshotRow[];
}

/**
 * A client that unpacks all layers at once names the parent at the commit (capability `rebase`). A lazy layer is
 * committed by its Prepare, and would have no parent for ever.
 */
const parallelUnpack: SnapshotFallback = {
  reason: "parallel-unpack",
  message: "Cannot have a layer lazily: want its parent at the Prepare, got it promised for the commit",
  hint: "Let the client unpack one layer after the other (containerd: max_concurrent_unpacks = 1)",
};

const RESOLVE_TIMEOUT_MS = 30_000;
const PULL_TIMEOUT_MS = 1_800_000;
const LAYER_GRACE_MS = 300_000;

/** containerd's overlayfs snapshotter, whose layers may be lazy ones of the engine. @throws INVALID_ARGUMENT */
export async function createLazySnapshotter(options: LazySnapshotterOptions): Promise<LazySnapshotter> {
  const { metadata, engine, now } = options;
  const overlay = options.overlay ?? (await detectOverlay());
  const uses = new LayerUses(engine);
  const layers = new MendedLayers({
    ...{ engine, resolver: options.resolver, uses },
    rows: () => stored.table.rows(),
    waitMs: options.resolveTimeoutMs ?? RESOLVE_TIMEOUT_MS,
    makeMs: options.pullTimeoutMs ?? PULL_TIMEOUT_MS,
  });
  const storage = await createOverlayStorage({ ...options, overlay, layers });
  const stored = await createStoredSnapshotter({ name: "", metadata, storage, now, rebases: true });
  await storage.reconcile(stored.table.rows().map((row) => stored.stored(row)));
  return new LazyOverlaySnapshotter(options, { stored, uses, layers });
}

class LazyOverlaySnapshotter implements LazySnapshotter {
  readonly #stored: StoredSnapshotter;
  readonly #engine: LayerEngine;
  readonly #layers: MendedLayers;
  readonly #neighbours: NeighbourLayers;
  readonly #remote: RemoteLayers;
  readonly #sweeper: LayerSweeper;
  readonly #idMapping: OverlayIdMapping | undefined;
  readonly #starts: LazySnapshotterOptions["starts"];

  constructor(
    options: LazySnapshotterOptions,
    parts: {
      readonly stored: StoredSnapshotter;
      readonly uses: LayerUses;
      readonly layers: MendedLayers;
    },
  ) {
    const { engine, resolver } = options;
    const { stored, uses, layers } = parts;
    const { table } = stored;
    this.#stored = stored;
    this.#layers = layers;
    this.#engine = engine;
    this.#idMapping = options.idMapping;
    this.#starts = options.starts;
    this.#neighbours = new NeighbourLayers({ engine, uses });
    this.#remote = new RemoteLayers({
      engine,
      resolver,
      table,
      uses,
      neighbours: this.#neighbours,
      resolveTimeoutMs: options.resolveTimeoutMs ?? RESOLVE_TIMEOUT_MS,
      pullTimeoutMs: options.pullTimeoutMs ?? PULL_TIMEOUT_MS,
    });
    this.#sweeper = new LayerSweeper({
      engine,
      table,
      uses,
      graceMs: options.layerGraceMs ?? LAYER_GRACE_MS,
    });
  }

  rows(): readonly SnapshotRow[] {
    return this.#stored.table.rows();
  }

  async stat(name: string): Promise<SnapshotInfo> {
    return await this.#stored.stat(name);
  }

  async update(request: UpdateSnapshot): Promise<SnapshotInfo> {
    return await this.#stored.update(request);
  }

  async usage(name: string, options: { signal?: AbortSignal | undefined } = {}): Promise<SnapshotUsage> {
    const { layerDigest } = this.#stored.table.get(name);
    if (layerDigest === undefined) return await this.#stored.usage(name, options);
    const { bytes, inodes } = await this.#engine.usage(layerDigest);
    return { size: bytes, inodes };
  }

  async mounts(key: string, options: { signal?: AbortSignal | undefined } = {}): Promise<readonly Mount[]> {
    return await this.#stored.mounts(key, options);
  }

  async prepare(request: CreateSnapshot): Promise<readonly Mount[]> {
    const target = request.labels[labelNames.target] ?? "";
    if (target === "") {
      const mounts = await this.#stored.prepare(request);
      this.#starts?.begin(startOf(request, this.#stored.table.ancestors(request.parent)));
      return mounts;
    }
    checkLabels(request.labels);
    this.#stored.table.checkNew(request.key, request.parent);
    if (request.parent === "" && (request.labels[labelNames.parentChain] ?? "") !== "") {
      const { reason, message } = parallelUnpack;
      log.info("Left a layer to the client", { key: request.key, reason, error: message });
      fallbackChannel.publish({ key: request.key, reason });
      return await this.#stored.create(request, { kind: "active", fallback: parallelUnpack });
    }
    const attempt = await this.#remote.attempt(request, target);
    if (attempt.kind === "prepared") {
      throw alreadyExists(`target snapshot ${JSON.stringify(target)}`, {
        subject: target,
        reason: "remote-snapshot-prepared",
      });
    }
    const { origin, fallback } = attempt;
    return await this.#stored.create(request, { kind: "active", origin, fallback });
  }

  async view(request: CreateSnapshot): Promise<readonly Mount[]> {
    return await this.#stored.view(request);
  }

  async commit(request: CommitSnapshot): Promise<void> {
    await this.#stored.commit(request);
  }

  async remove(name: string): Promise<void> {
    const { table } = this.#stored;
    const row = table.find(name);
    this.#starts?.removed(name);
    await this.#stored.remove(name);
    if (row === undefined) return;
    // At once, before a layer that it holds is taken from the engine.
    await this.#idMapping?.release(row.id);
    if (row.layerDigest !== undefined) await this.#sweeper.forget(row.layerDigest);
  }

  walk(filters: readonly string[]): AsyncIterable<SnapshotInfo> {
    return this.#stored.walk(filters);
  }

  async cleanup(): Promise<void> {
    await this.#stored.cleanup();
    await this.#sweeper.sweep();
  }

  async close(): Promise<void> {
    this.#sweeper.close();
    await this.#neighbours.close();
    await this.#layers.close();
    await this.#stored.close();
  }
}
