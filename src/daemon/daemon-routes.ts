import { join } from "node:path";
import type { ConnectRouter } from "@connectrpc/connect";
import type { LogicalBlobs, NamespacedContent } from "../content/index.js";
import type { EventExchange } from "../events/index.js";
import { ContainerTable, ImageTable, LeaseTable, NamespaceTable } from "../metadata/index.js";
import {
  containersService,
  contentService,
  eventsService,
  imagesService,
  introspectionService,
  leasesService,
  type NodeCollection,
  namespacesService,
  nodeService,
  type PluginFacts,
  requestContext,
  snapshotsServiceOf,
  versionService,
} from "../services/index.js";
import type { NamespacedSnapshotter } from "../snapshotters/index.js";
import type { Config } from "./config-keys.js";
import { findSnapshotter } from "./find-snapshotter.js";
import type { Metrics } from "./metrics.js";
import { ladderOf } from "./mount-ladder.js";
import type { NodeParts } from "./node-parts.js";
import type { ServedSnapshotter } from "./served-snapshotters.js";

export interface DaemonRoutesOptions extends NodeParts {
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
}

/** Everything that the daemon serves on its socket. */
export function daemonRoutes(options: DaemonRoutesOptions): readonly ((router: ConnectRouter) => void)[] {
  const { metadata, binding, engine, snapshotter, metrics, version, collection, events } = options;
  const now = (): bigint => binding.realtimeNanoseconds();
  const { scheduler } = collection;
  return [
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
    introspectionService({ serverId: options.serverId, plugins: pluginsOf(options) }),
    nodeService({
      version,
      engine,
      snapshotter,
      ladder: ladderOf(engine),
      counters: () => metrics.totals(),
      collection,
    }),
  ];
}

/** What clients look for: the kinds of parts under containerd's words for them. */
function pluginsOf({ config, served }: DaemonRoutesOptions): PluginFacts[] {
  const plain = { capabilities: [], exports: {} };
  const services = [
    "containers",
    "content",
    "events",
    "images",
    "introspection",
    "leases",
    "namespaces",
    "snapshots",
    "version",
  ];
  return [
    {
      type: "io.containerd.content.v1",
      id: "content",
      capabilities: [],
      exports: { root: join(config.root, "content") },
    },
    ...served.map(({ name, plugin }) => ({ type: "io.containerd.snapshotter.v1", id: name, ...plugin })),
    { type: "io.containerd.gc.v1", id: "scheduler", ...plain },
    ...services.map((id) => ({ type: "io.containerd.grpc.v1", id, ...plain })),
  ];
}
