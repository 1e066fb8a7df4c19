import { mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { type DescriptorStore, loadBinding, type NativeBinding } from "../fuse/index.js";
import { type OpenLayerEngine, openLayerEngine } from "../layer/index.js";
import { type Metadata, openMetadata } from "../metadata/index.js";
import { log } from "../observe/index.js";
import { needsProcessors, type StreamProcessor } from "../processors/index.js";
import { type CredentialProvider, Registry, type RegistryOptions } from "../registry/index.js";
import {
  createLazySnapshotter,
  FineIndexes,
  type LazySnapshotter,
  labelResolver,
  SociIndexes,
} from "../snapshotters/index.js";
import type { SharedCredentials } from "../transfer/index.js";
import { watchBudgets } from "./budget-metrics.js";
import type { Config } from "./config-keys.js";
import { lazyTable } from "./config-snapshotters.js";
import { containerdContent } from "./containerd-content.js";
import { kubeletCredentials, openSharedCredentials, watchRemovedImages } from "./credential-parts.js";
import { descriptorStore } from "./descriptor-store.js";
import { ensurePassableFolder, ensurePrivateFolder } from "./folders.js";
import { type ContentReader, hostContent } from "./host-content.js";
import { measuredSnapshotter } from "./measured-snapshotter.js";
import type { Metrics } from "./metrics.js";
import { watchLayers, watchPlane } from "./metrics-sources.js";
import { type OverlayParts, openOverlayParts } from "./overlay-parts.js";
import { type ProfileParts, startProfiles } from "./profile-parts.js";
import { watchRequests } from "./replay-metrics.js";
import type { Startup } from "./startup.js";
import { lockState } from "./state-lock.js";
import { streamProcessorsOf } from "./stream-processors.js";
import { startTraces, type TraceParts } from "./trace-parts.js";

/**
 * Waits between rounds over a registry's mirrors grow between these, and up to half more by chance: a read that waits
 * goes on about a second after the registry is back.
 */
const RETRY_WAIT_MIN_MS = 100;
const RETRY_WAIT_MAX_MS = 700;
/** A host that asks for a longer pause is asked again after this one. */
const RETRY_AFTER_MAX_MS = 8000;

export interface NodePartsOptions {
  readonly config: Config;
  readonly version: string;
  readonly metrics: Metrics;
  /** Socket that the process serves on. */
  readonly address: string;
  /** Socket of the content store that names layers without labels; undefined: none. */
  readonly contentAddress: string | undefined;
  /** For what systemd passes. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /** Ask another lazuli on these folders to end, and go on in its place. */
  readonly isTakeover?: boolean;
}

/** What serves lazy snapshots: the same in the snapshotter and in the daemon. */
export interface NodeParts {
  readonly metadata: Metadata;
  readonly binding: NativeBinding;
  readonly registry: Registry;
  /** Credentials that clients gave, which the registry of the lazy layers takes too. */
  readonly sharedCredentials: SharedCredentials;
  /** Those of the machine beside Docker's config, which every registry of the process takes. */
  readonly credentialProviders: readonly CredentialProvider[];
  readonly engine: OpenLayerEngine;
  readonly snapshotter: LazySnapshotter;
  readonly traces: TraceParts;
  /** What the lazy snapshotter can do beyond the contract, in containerd's words. */
  readonly lazyCapabilities: readonly string[];
  /** Uses a quiet moment, so that the first layer is made as fast as later ones. To be called once. */
  rehearse(): void;
}

/** Builds the parts in this order. @throws what a part throws; the caller stops the startup */
export async function startNodeParts(startup: Startup, options: NodePartsOptions): Promise<NodeParts> {
  const { config, version, metrics, contentAddress } = options;
  await startup.part("folders", () => prepareFolders(options));
  await startup.part(
    "state lock",
    () => lockState(config.state, options),
    (lock) => lock[Symbol.asyncDispose](),
  );
  const binding = await startup.part("native addon", () => loadBinding());
  const { environment = {} } = options;
  const sharedCredentials = await startup.part("credentials", () =>
    openSharedCredentials(config, environment),
  );
  const providers = await startup.part("credential providers", () => kubeletCredentials(config));
  const registry = await startup.part(
    "registry",
    // Providers know of a credential's end; what came with a pull may be over by now.
    () => makeRegistry(config, version, { credentials: [...providers, sharedCredentials] }),
    (made) => made.close(),
  );
  const processors = streamProcessorsOf(config);
  // Before all that takes time: readers may be waiting since an earlier process ended.
  const store = await startup.part("keeper", () => descriptorStore({ config, binding, environment }));
  const engine = await startup.part(
    "layer engine",
    () => openEngine({ config, binding, registry, processors, descriptorStore: store }),
    (opened) => opened.close(),
  );
  const metadata = await startup.part(
    "metadata",
    () => openMetadata({ directory: join(config.root, "metadata") }),
    (opened) => opened.close(),
  );
  await startup.part(
    "kept credentials",
    () => watchRemovedImages(sharedCredentials, metadata),
    (watching) => watching[Symbol.dispose](),
  );
  const reader = await startup.part(
    "host content",
    () => (contentAddress === undefined ? undefined : containerdContent({ address: contentAddress })),
    (made) => made?.[Symbol.dispose](),
  );
  const overlayParts = await startup.part("overlay", () => openLazyOverlay(config, binding));
  const profiled = await startProfiles(startup, { config, engine, registry });
  const traces = await startTraces(startup, { config, engine, metadata });
  const parts = { metadata, binding, registry, engine, processors, reader, overlayParts, profiled, traces };
  const snapshotter = await startup.part(
    "snapshotter",
    () => openSnapshotter({ ...options, ...parts }),
    (made) => made.close(),
  );
  watchLayers(metrics, engine);
  watchPlane(metrics, engine.plane);
  watchBudgets(metrics, { engine, registry });
  watchRequests(metrics, engine);
  const lazyCapabilities = overlayParts.capabilities;
  return {
    metadata,
    binding,
    registry,
    sharedCredentials,
    credentialProviders: providers,
    engine,
    snapshotter,
    traces,
    lazyCapabilities,
    rehearse: () => {
      engine.rehearse();
      void registry.rehearse();
    },
  };
}

interface SnapshotterParts extends NodePartsOptions {
  readonly metadata: Metadata;
  readonly binding: NativeBinding;
  readonly registry: Registry;
  readonly engine: OpenLayerEngine;
  readonly processors: readonly StreamProcessor[];
  readonly reader: ContentReader | undefined;
  readonly overlayParts: OverlayParts;
  readonly traces: TraceParts;
  readonly profiled: ProfileParts;
}

async function openLazyOverlay(config: Config, binding: NativeBinding): Promise<OverlayParts> {
  const table = lazyTable(config);
  return await openOverlayParts({
    binding,
    root: config.root,
    state: config.state,
    name: undefined,
    mountOptions: [],
    idMapping: table?.idMapping,
    defaultQuotaBytes: table?.defaultQuotaBytes,
  });
}

async function openSnapshotter(parts: SnapshotterParts): Promise<LazySnapshotter> {
  const { config, metadata, binding, registry, engine, processors, reader, profiled } = parts;
  const { layer, containerd } = config;
  const { timeoutMs } = containerd;
  const snapshotter = await createLazySnapshotter({
    root: config.root,
    binding,
    metadata,
    engine,
    resolver: profiled.resolver(
      labelResolver({
        registry,
        soci: new SociIndexes({ registry, takesAnnotation: layer.soci, takesReferrers: layer.sociReferrers }),
        fine: layer.fineReferrers ? new FineIndexes({ registry }) : undefined,
        wholeBytesMin: layer.pullWhole ? layer.pullWholeBytesMin : undefined,
        isProcessed: (mediaType) => needsProcessors(processors, mediaType),
        hostContent:
          reader === undefined
            ? undefined
            : hostContent({ reader, timeoutMs, hostsFolders: config.registry.configPaths }),
      }),
    ),
    now: () => binding.realtimeNanoseconds(),
    syncFileSystem: (path) => binding.fileSteps([{ kind: "syncFileSystem", path }]),
    resolveTimeoutMs: config.snapshotter.resolveTimeoutMs,
    pullTimeoutMs: config.snapshotter.pullTimeoutMs,
    layerGraceMs: layer.unusedGraceMs,
    starts: profiled.starts(parts.traces.recorder),
    ...parts.overlayParts,
  });
  return measuredSnapshotter(snapshotter, parts.metrics);
}

async function prepareFolders({ config, address: socketPath }: NodePartsOptions): Promise<void> {
  await ensurePrivateFolder(config.root);
  await ensurePassableFolder(config.state);
  await mkdir(dirname(socketPath), { recursive: true });
  const { address } = config.metrics;
  if (address?.startsWith("/")) await mkdir(dirname(address), { recursive: true });
}

/** `facts` come before what the config says. */
export function makeRegistry(config: Config, version: string, facts: RegistryOptions): Registry {
  const { configPaths, dockerConfig, stallTimeoutMs, attempts, requestsPerHost, requestsPerSecond } =
    config.registry;
  return new Registry({
    hostsDirectories: configPaths,
    ...(dockerConfig === undefined ? {} : { dockerConfigPaths: [dockerConfig] }),
    stallTimeoutMs,
    retry: { attempts, minWaitMs: RETRY_WAIT_MIN_MS, maxWaitMs: RETRY_WAIT_MAX_MS },
    retryAfterMaxMs: RETRY_AFTER_MAX_MS,
    requestsPerHostMax: requestsPerHost,
    requestsPerSecondMax: requestsPerSecond,
    userAgent: `lazuli/${version}`,
    ...facts,
  });
}

async function openEngine(parts: {
  readonly config: Config;
  readonly binding: NativeBinding;
  readonly registry: Registry;
  readonly processors: readonly StreamProcessor[];
  readonly descriptorStore: DescriptorStore | undefined;
}): Promise<OpenLayerEngine> {
  const { config, binding, registry, processors, descriptorStore } = parts;
  const { layer } = config;
  const engine = await openLayerEngine({
    binding,
    root: config.root,
    state: config.state,
    demandDeadlineMs: layer.demandDeadlineMs,
    readaheadMaxBytes: layer.readaheadMaxBytes,
    backgroundFill: layer.backgroundFill,
    fillBytesPerSecond: layer.fillBytesPerSecond,
    mount: layer.mount,
    fuseThreads: layer.fuseThreads,
    workerThreads: layer.workerThreads,
    budget: {
      limit: "bytes" in layer.budget && layer.budget.bytes === 0 ? undefined : layer.budget,
      highWater: layer.budgetHigh,
      lowWater: Math.min(layer.budgetLow, layer.budgetHigh),
      pinned: layer.pinned,
    },
    processors,
    descriptorStore,
    openSourceFor: ({ reference, size }, digest, { signal }) =>
      registry.openBlob({ reference, digest, size, signal }),
  });
  log.info("Opened the layer engine", { mount: engine.rung.kind, layers: engine.list().length });
  return engine;
}
