import type { ConnectRouter } from "@connectrpc/connect";
import type { ContentStore, LogicalBlobs, NamespacedContent } from "../content/index.js";
import type { LayerDiffer } from "../diff/index.js";
import type { EventExchange } from "../events/index.js";
import { ContainerTable, ImageTable, LeaseTable, NamespaceTable, SandboxTable } from "../metadata/index.js";
import type { MountManager } from "../mounts/index.js";
import type { SandboxController, TaskManager } from "../runtime/index.js";
import {
  containersService,
  contentService,
  type DeprecationWarning,
  diffService,
  eventsService,
  imagesService,
  introspectionService,
  leasesService,
  mountsService,
  type NodeCollection,
  namespacesService,
  nodeService,
  type RequestContext,
  requestContext,
  runtimeInfo,
  sandboxControllerService,
  sandboxStoreService,
  snapshotsServiceOf,
  streamingService,
  tasksService,
  tracesService,
  transferService,
  versionService,
} from "../services/index.js";
import { healthService } from "../snapshotter-kit/index.js";
import type { NamespacedSnapshotter } from "../snapshotters/index.js";
import { budgetRows } from "./budget-rows.js";
import type { Config } from "./config-keys.js";
import { differOf } from "./differ-parts.js";
import { findSnapshotter } from "./find-snapshotter.js";
import type { Metrics } from "./metrics.js";
import { ladderOf } from "./mount-ladder.js";
import type { NodeParts } from "./node-parts.js";
import { pluginsOf } from "./plugins.js";
import type { ServedSnapshotter } from "./served-snapshotters.js";
import type { DaemonTransfer } from "./transfer-parts.js";

export interface DaemonRoutesOptions extends NodeParts, DaemonTransfer {
  readonly config: Config;
  readonly version: string;
  readonly metrics: Metrics;
  readonly serverId: string;
  readonly events: EventExchange;
  readonly content: NamespacedContent;
  readonly blobs: LogicalBlobs;
  readonly snapshotters: ReadonlyMap<string, NamespacedSnapshotter>;
  /** The facts of the same snapshotters. */
  readonly served: readonly ServedSnapshotter[];
  readonly collection: NodeCollection;
  readonly differ: LayerDiffer;
  /** By the name that clients ask for. */
  readonly controllers: ReadonlyMap<string, SandboxController>;
  readonly tasks: TaskManager;
  readonly mounts: MountManager;
  /** What of the configuration a later version won't have. */
  readonly deprecations: () => readonly DeprecationWarning[];
  /** Of CRI. */
  readonly podRoutes: readonly ((router: ConnectRouter) => void)[];
}

/** Everything that the daemon serves on its socket. */
export function daemonRoutes(options: DaemonRoutesOptions): readonly ((router: ConnectRouter) => void)[] {
  const { metadata, binding, engine, snapshotter, metrics, version, collection, events } = options;
  const now = (): bigint => binding.realtimeNanoseconds();
  const { scheduler } = collection;
  const contentOf = (context: RequestContext): ContentStore =>
    options.blobs.over(options.content.for(context));
  const routes = [
    contentService(contentOf),
    diffService({ differ: (context) => differOf(options.differ, context), content: contentOf }),
    snapshotsServiceOf((name, headers) =>
      findSnapshotter(options.snapshotters, name).for(requestContext(headers)),
    ),
    imagesService({ images: new ImageTable({ metadata, now }), collection: scheduler, events }),
    containersService({ containers: new ContainerTable({ metadata, now }), events }),
    leasesService({ leases: new LeaseTable({ metadata, now }), collection: scheduler, now }),
    namespacesService({ namespaces: new NamespaceTable({ metadata, now }), events }),
    eventsService(events),
    versionService({ version, revision: "" }),
    sandboxStoreService(new SandboxTable({ metadata, now })),
    sandboxControllerService({ controllers: options.controllers, events }),
    tasksService({
      tasks: options.tasks,
      containers: new ContainerTable({ metadata, now }),
      contentOf: (context) => options.content.for(context),
    }),
    mountsService(options.mounts),
    streamingService(options.streams),
    transferService(options),
    healthService(),
    nodeService({
      version,
      engine,
      snapshotter,
      ladder: ladderOf(engine),
      counters: () => metrics.totals(),
      replays: () => engine.figures.replays,
      budgets: () => budgetRows(options),
      collection,
    }),
    tracesService(options.traces),
    ...options.podRoutes,
  ];
  const info = { "io.containerd.runtime.v2": runtimeInfo(options.tasks) };
  const plugins = pluginsOf({ ...options, controllers: [...options.controllers.keys()], routes, info });
  const { serverId, deprecations } = options;
  return [...routes, introspectionService({ serverId, plugins, deprecations })];
}
