import { join } from "node:path";
import type { ConnectRouter } from "@connectrpc/connect";
import type { LogicalBlobs, NamespacedContent } from "../content/index.js";
import { invalidArgument } from "../errors/index.js";
import { ImageTable, LeaseTable, NamespaceTable } from "../metadata/index.js";
import {
  contentService,
  createEventExchange,
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
import type { Metrics } from "./metrics.js";
import { ladderOf } from "./mount-ladder.js";
import type { NodeParts } from "./node-parts.js";

export interface DaemonRoutesOptions extends NodeParts {
  readonly config: Config;
  readonly version: string;
  readonly metrics: Metrics;
  readonly serverId: string;
  readonly content: NamespacedContent;
  readonly blobs: LogicalBlobs;
  readonly snapshotters: ReadonlyMap<string, NamespacedSnapshotter>;
  readonly collection: NodeCollection;
}

/** Everything that the daemon serves on its socket. */
export function daemonRoutes(options: DaemonRoutesOptions): readonly ((router: ConnectRouter) => void)[] {
  const { metadata, binding, engine, snapshotter, metrics, version, collection } = options;
  const now = (): bigint => binding.realtimeNanoseconds();
  const { scheduler } = collection;
  const events = createEventExchange({ now });
  return [
    contentService((context) => options.blobs.over(options.content.for(context))),
    snapshotsServiceOf((name, headers) =>
      snapshotterOf(options.snapshotters, name).for(requestContext(headers)),
    ),
    imagesService({ images: new ImageTable({ metadata, now }), collection: scheduler, events }),
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

/** The messages are containerd's (services/snapshots). @throws INVALID_ARGUMENT */
function snapshotterOf(
  snapshotters: ReadonlyMap<string, NamespacedSnapshotter>,
  name: string,
): NamespacedSnapshotter {
  if (name === "") throw invalidArgument("snapshotter argument missing", { reason: "snapshotter-missing" });
  const found = snapshotters.get(name);
  if (found === undefined) {
    throw invalidArgument(`snapshotter not loaded: ${name}`, {
      subject: name,
      reason: "snapshotter-unknown",
    });
  }
  return found;
}

/** What clients look for: the kinds of parts under containerd's words for them. */
function pluginsOf({ config, snapshotters }: DaemonRoutesOptions): PluginFacts[] {
  const plain = { capabilities: [], exports: {} };
  const services = [
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
    ...[...snapshotters.keys()].map((id) => ({
      type: "io.containerd.snapshotter.v1",
      id,
      capabilities: [],
      exports: { root: config.root, enable_remote_snapshot_annotations: "true" },
    })),
    { type: "io.containerd.gc.v1", id: "scheduler", ...plain },
    ...services.map((id) => ({ type: "io.containerd.grpc.v1", id, ...plain })),
  ];
}
