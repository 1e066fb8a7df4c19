import type { ConnectRouter } from "@connectrpc/connect";
import type { LogicalBlobs, NamespacedContent } from "../content/index.js";
import type { EventExchange } from "../events/index.js";
import { ContainerTable, ImageTable, LeaseTable, NamespaceTable, SandboxTable } from "../metadata/index.js";
import type { SandboxController } from "../runtime/index.js";
import {
  containersService,
  contentService,
  type DeprecationWarning,
  eventsService,
  imagesService,
  introspectionService,
  leasesService,
  type NodeCollection,
  namespacesService,
  nodeService,
  requestContext,
  sandboxControllerService,
  sandboxStoreService,
  snapshotsServiceOf,
  streamingService,
  transferService,
  versionService,
} from "../services/index.js";
import { healthService } from "../snapshotter-kit/index.js";
import type { NamespacedSnapshotter } from "../snapshotters/index.js";
import type { Config } from "./config-keys.js";
import { findSnapshotter } from "./find-snapshotter.js";
import type { Metrics } from "./metrics.js";
import { ladderOf } from "./mount-ladder.js";
import type { NodeParts } from "./node-parts.js";
import { type PluginsOptions, pluginsOf } from "./plugins.js";
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
  /** By the name that clients ask for. */
  readonly controllers: ReadonlyMap<string, SandboxController>;
  /** What of the configuration a later version won't have. */
  readonly deprecations: () => readonly DeprecationWarning[];
  /** What a plugin tells of itself, by its type. */
  readonly info: PluginsOptions["info"];
}

/** Everything that the daemon serves on its socket. */
export function daemonRoutes(options: DaemonRoutesOptions): readonly ((router: ConnectRouter) => void)[] {
  const { metadata, binding, engine, snapshotter, metrics, version, collection, events } = options;
  const now = (): bigint => binding.realtimeNanoseconds();
  const { scheduler } = collection;
  const routes = [
    contentService((context) => options.blobs.over(options.content.for(context))),
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
    streamingService(options.streams),
    transferService(options),
    healthService(),
    nodeService({
      version,
      engine,
      snapshotter,
      ladder: ladderOf(engine),
      counters: () => metrics.totals(),
      collection,
    }),
  ];
  const plugins = pluginsOf({ ...options, controllers: [...options.controllers.keys()], routes });
  const { serverId, deprecations } = options;
  return [...routes, introspectionService({ serverId, plugins, deprecations })];
}
