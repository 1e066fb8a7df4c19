import { mkdir, open } from "node:fs/promises";
import { dirname, join } from "node:path";
import { failedPrecondition, LazuliError } from "../errors/index.js";
import { loadBinding, type NativeBinding } from "../fuse/index.js";
import { type OpenLayerEngine, openLayerEngine } from "../layer/index.js";
import { lockFolder, type Metadata, openMetadata } from "../metadata/index.js";
import { log } from "../observe/index.js";
import { Registry } from "../registry/index.js";
import {
  type GrpcServer,
  type LadderStep,
  nodeService,
  serveGrpc,
  snapshotsService,
} from "../services/index.js";
import { createLazySnapshotter, type LazySnapshotter, labelResolver } from "../snapshotters/index.js";
import type { Config } from "./config-keys.js";
import { containerdContent } from "./containerd-content.js";
import { ensurePrivateFolder } from "./folders.js";
import { type ContentReader, hostContent } from "./host-content.js";
import { measuredSnapshotter } from "./measured-snapshotter.js";
import type { Metrics } from "./metrics.js";
import { serveMetrics } from "./metrics-server.js";
import { watchLayers, watchPlane } from "./metrics-sources.js";
import { Startup } from "./startup.js";

/**
 * Waits between rounds over a registry's mirrors grow between these, and up to half more by chance: a read that waits
 * goes on about a second after the registry is back.
 */
const RETRY_WAIT_MIN_MS = 100;
const RETRY_WAIT_MAX_MS = 700;
/** A host that asks for a longer pause is asked again after this one. */
const RETRY_AFTER_MAX_MS = 8000;

export interface StartSnapshotterOptions {
  readonly config: Config;
  readonly version: string;
  readonly metrics: Metrics;
}

export interface RunningSnapshotter {
  /** How layers are mounted, for people. */
  readonly rung: string;
  /** Ends all parts in reverse: running calls within their time, then bitmaps and metadata. Deletes nothing. */
  stop(): Promise<void>;
}

/** Builds the snapshotter from the config, part by part in this order. @throws what a part throws, with all stopped */
export async function startSnapshotter(options: StartSnapshotterOptions): Promise<RunningSnapshotter> {
  const startup = new Startup();
  try {
    const engine = await startParts(startup, options);
    return { rung: engine.rung.kind, stop: () => startup.stop() };
  } catch (thrown) {
    await startup.stop();
    throw thrown;
  }
}

async function startParts(startup: Startup, options: StartSnapshotterOptions): Promise<OpenLayerEngine> {
  const { config, version, metrics } = options;
  await startup.part("folders", () => prepareFolders(config));
  await startup.part(
    "state lock",
    () => lockState(config.state),
    (lock) => lock[Symbol.asyncDispose](),
  );
  const metadata = await startup.part(
    "metadata",
    () => openMetadata({ directory: join(config.root, "metadata") }),
    (opened) => opened.close(),
  );
  const binding = await startup.part("native addon", () => loadBinding());
  const registry = await startup.part(
    "registry",
    () => makeRegistry(config, version),
    (made) => made.close(),
  );
  const engine = await startup.part(
    "layer engine",
    () => openEngine({ config, binding, registry }),
    (opened) => opened.close(),
  );
  const reader = await startup.part(
    "host content",
    () => (config.containerd.enabled ? containerdContent({ address: config.containerd.address }) : undefined),
    (made) => made?.[Symbol.dispose](),
  );
  const snapshotter = await startup.part(
    "snapshotter",
    () => openSnapshotter({ ...options, metadata, binding, registry, engine, reader }),
    (made) => made.close(),
  );
  watchLayers(metrics, engine);
  watchPlane(metrics, engine.plane);
  const server = await startup.part(
    "socket",
    () => serve({ ...options, engine, snapshotter }),
    (served) => served.close(),
  );
  const { address } = config.metrics;
  await startup.part(
    "metrics",
    () => (address === undefined ? undefined : serveMetrics({ address, metrics, isReady: server.isReady })),
    (served) => served?.[Symbol.asyncDispose](),
  );
  return engine;
}

interface SnapshotterParts extends StartSnapshotterOptions {
  readonly metadata: Metadata;
  readonly binding: NativeBinding;
  readonly registry: Registry;
  readonly engine: OpenLayerEngine;
  readonly reader: ContentReader | undefined;
}

async function openSnapshotter(parts: SnapshotterParts): Promise<LazySnapshotter> {
  const { config, metadata, binding, registry, engine, reader } = parts;
  const { timeoutMs } = config.containerd;
  const snapshotter = await createLazySnapshotter({
    root: config.root,
    metadata,
    engine,
    resolver: labelResolver({
      registry,
      hostContent:
        reader === undefined
          ? undefined
          : hostContent({ reader, timeoutMs, hostsFolders: config.registry.configPaths }),
    }),
    now: () => binding.realtimeNanoseconds(),
    syncFileSystem: (folder) => syncFileSystem(binding, folder),
    resolveTimeoutMs: config.snapshotter.resolveTimeoutMs,
  });
  return measuredSnapshotter(snapshotter, parts.metrics);
}

interface ServeParts extends StartSnapshotterOptions {
  readonly engine: OpenLayerEngine;
  readonly snapshotter: LazySnapshotter;
}

async function serve(parts: ServeParts): Promise<GrpcServer & { isReady: () => boolean }> {
  const { config, version, metrics, engine, snapshotter } = parts;
  const counters = (): Readonly<Record<string, number>> => metrics.totals();
  const node = nodeService({ version, engine, snapshotter, ladder: ladderOf(engine), counters });
  const server = await serveGrpc({
    socketPath: config.snapshotter.address,
    mode: 0o600,
    routes: [snapshotsService(snapshotter), node],
    closeTimeoutMs: config.snapshotter.stopTimeoutMs,
  });
  let isReady = true;
  return {
    isReady: () => isReady,
    close: async () => {
      isReady = false;
      await server.close();
    },
  };
}

async function prepareFolders(config: Config): Promise<void> {
  await ensurePrivateFolder(config.root);
  await ensurePrivateFolder(config.state);
  await mkdir(dirname(config.snapshotter.address), { recursive: true });
  const { address } = config.metrics;
  if (address?.startsWith("/")) await mkdir(dirname(address), { recursive: true });
}

/** A second process on this folder would take the first one's mounts for leftovers. */
async function lockState(folder: string): Promise<AsyncDisposable> {
  try {
    return await lockFolder(folder);
  } catch (thrown) {
    if (LazuliError.from(thrown).reason !== "metadata-in-use") throw thrown;
    throw failedPrecondition(`Cannot use ${folder}: want it free, got another lazuli that runs on it`, {
      subject: folder,
      reason: "state-in-use",
      hint: "Stop the other one, or give this one a state folder of its own",
      cause: thrown,
    });
  }
}

function makeRegistry(config: Config, version: string): Registry {
  const { configPaths, dockerConfig, stallTimeoutMs, attempts, requestsPerHost } = config.registry;
  return new Registry({
    hostsDirectories: configPaths,
    ...(dockerConfig === undefined ? {} : { dockerConfigPaths: [dockerConfig] }),
    stallTimeoutMs,
    retry: { attempts, minWaitMs: RETRY_WAIT_MIN_MS, maxWaitMs: RETRY_WAIT_MAX_MS },
    retryAfterMaxMs: RETRY_AFTER_MAX_MS,
    requestsPerHostMax: requestsPerHost,
    userAgent: `lazuli/${version}`,
  });
}

async function openEngine(parts: {
  readonly config: Config;
  readonly binding: NativeBinding;
  readonly registry: Registry;
}): Promise<OpenLayerEngine> {
  const { config, binding, registry } = parts;
  const { layer } = config;
  const engine = await openLayerEngine({
    binding,
    root: config.root,
    state: config.state,
    demandDeadlineMs: layer.demandDeadlineMs,
    readaheadMaxBytes: layer.readaheadMaxBytes,
    backgroundFill: layer.backgroundFill,
    mount: layer.mount,
    fuseThreads: layer.fuseThreads,
    workerThreads: layer.workerThreads,
    openSourceFor: ({ reference, size }, digest, { signal }) =>
      registry.openBlob({ reference, digest, size, signal }),
  });
  log.info("Opened the layer engine", { mount: engine.rung.kind, layers: engine.list().length });
  return engine;
}

async function syncFileSystem(binding: NativeBinding, folder: string): Promise<void> {
  const handle = await open(folder, "r");
  try {
    await binding.syncfs(handle.fd);
  } finally {
    await handle.close();
  }
}

/** The ways to mount a layer on this machine, the best first. */
function ladderOf({ rung }: OpenLayerEngine): readonly LadderStep[] {
  const isErofs = rung.kind === "erofs";
  return [
    {
      name: "erofs",
      usable: isErofs,
      chosen: isErofs,
      detail: isErofs ? "EROFS metadata in the kernel, data over the node's one FUSE mount" : rung.why,
    },
    {
      name: "fuse-tree",
      usable: true,
      chosen: !isErofs,
      detail: "A FUSE mount a layer",
    },
  ];
}
