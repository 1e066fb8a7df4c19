import type { ConnectRouter } from "@connectrpc/connect";
import { logicalBlobs, namespacedContent } from "../content/index.js";
import { createEventExchange } from "../events/index.js";
import { containers } from "../metadata/index.js";
import {
  type CallScope,
  type DeprecationWarning,
  type GrpcServer,
  type ObservedCall,
  observeCalls,
  serveGrpc,
} from "../services/index.js";
import { checkCgroup, Deprecations } from "../settings/index.js";
import { namespacedSnapshotter } from "../snapshotters/index.js";
import type { ActivationsInUse } from "./activated-differ.js";
import { withCallContext } from "./call-context.js";
import { callMetrics } from "./call-metrics.js";
import { startCollection } from "./collection.js";
import type { Config } from "./config-keys.js";
import { DAEMON_LAZY_NAME } from "./config-snapshotters.js";
import { startContent } from "./content-parts.js";
import { daemonRoutes } from "./daemon-routes.js";
import { startDiffer } from "./differ-parts.js";
import type { Metrics } from "./metrics.js";
import { serveMetrics } from "./metrics-server.js";
import { activationNodes, startMountManager } from "./mount-parts.js";
import { type NodeParts, startNodeParts } from "./node-parts.js";
import { watchObjects } from "./object-metrics.js";
import { startPods } from "./pod-parts.js";
import { startProxiedSnapshotters } from "./proxied-snapshotters.js";
import { startRestarts } from "./restarts.js";
import type { Running } from "./run-server.js";
import { startSandboxControllers } from "./sandbox-controllers.js";
import { startOwnSnapshotters } from "./served-snapshotters.js";
import { serverId } from "./server-id.js";
import { socketOwner } from "./socket-owner.js";
import { Startup } from "./startup.js";
import { publishCollected, withContentEvents, withSnapshotEvents } from "./store-events.js";
import { watchTasks } from "./task-metrics.js";
import { startTasks } from "./task-parts.js";
import { recordTasks } from "./trace-parts.js";
import { startTracing } from "./tracing.js";
import { startTransfer } from "./transfer-parts.js";

export interface StartDaemonOptions {
  readonly config: Config;
  readonly version: string;
  readonly metrics: Metrics;
  /** For the variables of OpenTelemetry and systemd. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
  readonly isTakeover?: boolean;
}

/** Builds the daemon from the config, part by part in this order. @throws what a part throws, with all stopped */
export async function startDaemon(options: StartDaemonOptions): Promise<Running> {
  const startup = new Startup();
  try {
    const { engine, rehearse } = await startParts(startup, options);
    return { rung: engine.rung.kind, rehearse, stop: () => startup.stop() };
  } catch (thrown) {
    await startup.stop();
    throw thrown;
  }
}

async function startParts(startup: Startup, options: StartDaemonOptions): Promise<NodeParts> {
  const { config, metrics } = options;
  const { address } = config.daemon;
  // The store that names layers without labels is the daemon's own, and it is asked as any client asks it.
  const contentAddress = config.containerd.enabled ? address : undefined;
  const node = await startNodeParts(startup, { ...options, address, contentAddress });
  const { metadata, binding, engine } = node;
  const now = (): bigint => binding.realtimeNanoseconds();
  const events = createEventExchange({ now });
  const deprecations = await startup.part(
    "deprecations",
    () => new Deprecations({ now }),
    (started) => started[Symbol.dispose](),
  );
  checkCgroup();
  const tracing = await startup.part(
    "traces",
    () => startTracing(options.environment ?? {}, options.version),
    (started) => started?.[Symbol.asyncDispose](),
  );
  const id = await startup.part("server id", () => serverId(config.root));
  const { store, source } = await startContent(startup, { config, ...node });
  const content = withContentEvents(
    namespacedContent({ metadata, store, now, policy: config.content.sharingPolicy }),
    events,
  );
  const blobs = logicalBlobs({ source });
  const served = [
    ...(await startOwnSnapshotters(startup, { config, ...node, lazyName: DAEMON_LAZY_NAME })),
    ...(await startProxiedSnapshotters(startup, { config, metadata })),
  ];
  const snapshotters = new Map(
    served.map(({ name, snapshotter }) => [
      name,
      withSnapshotEvents(withCallContext(namespacedSnapshotter({ metadata, snapshotter, name, now })), {
        name,
        events,
      }),
    ]),
  );
  const mounts = await startMountManager(startup, { config, binding });
  const inUse: ActivationsInUse = new Set();
  const collection = await startup.part(
    "garbage collection",
    () =>
      startCollection({
        config,
        metadata,
        engine,
        content,
        snapshotters,
        lazyName: served.find(({ isLazy }) => isLazy)?.name,
        others: [activationNodes({ metadata, manager: mounts, inUse })],
        now,
        onRemoved: (node) => publishCollected(events, node),
      }),
    ({ scheduler }) => scheduler.close(),
  );
  const shared = { ...options, ...node, events, content, blobs, snapshotters, served };
  const differ = await startDiffer(startup, { config, binding, manager: mounts, inUse });
  const transfer = await startTransfer(startup, { ...shared, applier: differ });
  const tasks = await startTasks(startup, { ...options, binding, events, mounts });
  const lazyName = served.find(({ isLazy }) => isLazy)?.name;
  await recordTasks(startup, { events, metadata, recorder: node.traces.recorder, lazyName });
  const controllers = await startSandboxControllers(startup, { ...options, binding });
  const listDeprecations = (): readonly DeprecationWarning[] => deprecations.list();
  const pods = await startPods(startup, {
    ...shared,
    ...transfer,
    differ,
    collection: collection.scheduler,
    tasks,
    controllers,
    deprecations: listDeprecations,
  });
  const routes = daemonRoutes({
    ...shared,
    ...transfer,
    differ,
    serverId: id,
    collection,
    controllers,
    tasks: pods.tasks,
    mounts,
    deprecations: listDeprecations,
    podRoutes: pods.routes,
  });
  const server = await startup.part(
    "socket",
    () => serve(config, { routes, observers: [callMetrics(metrics), ...(tracing ? [tracing.observe] : [])] }),
    (served) => served.close(),
  );
  await startup.part(
    "restarts",
    () =>
      startRestarts({
        metadata,
        tasks,
        snapshotters,
        events,
        content,
        intervalMs: config.restart.intervalMs,
        now,
      }),
    (started) => started[Symbol.asyncDispose](),
  );
  watchObjects(metrics, metadata);
  watchTasks(metrics, {
    tasks,
    runtimeOf: ({ namespace, id }) => metadata.get(containers, [namespace, id])?.runtime.name ?? "",
  });
  const metricsAddress = config.metrics.address;
  await startup.part(
    "metrics",
    () =>
      metricsAddress === undefined
        ? undefined
        : serveMetrics({ address: metricsAddress, metrics, isReady: server.isReady }),
    (served) => served?.[Symbol.asyncDispose](),
  );
  return node;
}

async function serve(
  config: Config,
  options: {
    readonly routes: readonly ((router: ConnectRouter) => void)[];
    readonly observers: readonly ((call: ObservedCall) => CallScope)[];
  },
): Promise<GrpcServer & { isReady: () => boolean }> {
  const server = await serveGrpc({
    socketPath: config.daemon.address,
    mode: 0o660,
    owner: await socketOwner(config.daemon),
    receivedBytesMax: config.daemon.receivedMessageBytesMax,
    sentBytesMax: config.daemon.sentMessageBytesMax,
    routes: options.routes,
    interceptors: options.observers.map(observeCalls),
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
