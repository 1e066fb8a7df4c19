import { ContainerUpdateSchema } from "../../gen/containerd/events/container_pb.js";
import type { NamespacedContent } from "../content/index.js";
import { readImageLabels } from "../cri/index.js";
import { LazuliError } from "../errors/index.js";
import { type EventExchange, packedEvent } from "../events/index.js";
import { ContainerTable, ImageTable, type Metadata, NamespaceTable } from "../metadata/index.js";
import type { TaskManager } from "../runtime/index.js";
import type { NamespacedSnapshotter } from "../snapshotters/index.js";
import { machineArchitecture } from "../spec/index.js";
import { startRestartMonitor } from "./restart-monitor.js";
import { restartTasks } from "./restart-tasks.js";

export interface RestartsOptions {
  readonly metadata: Metadata;
  readonly tasks: TaskManager;
  readonly snapshotters: ReadonlyMap<string, NamespacedSnapshotter>;
  readonly events: EventExchange;
  readonly content: NamespacedContent;
  /** Between two looks at the containers. */
  readonly intervalMs: number;
  /** Nanoseconds since 1970. */
  readonly now: () => bigint;
}

/** Keeps the daemon's containers as their restart labels say, until it is disposed of. */
export function startRestarts(options: RestartsOptions): AsyncDisposable {
  const { metadata, tasks, snapshotters, events, intervalMs, now } = options;
  const images = new ImageTable({ metadata, now });
  return startRestartMonitor({
    namespaces: new NamespaceTable({ metadata, now }),
    containers: new ContainerTable({ metadata, now }),
    intervalMs,
    tasks: restartTasks({ tasks, snapshotters }),
    imageLabels: async ({ namespace, image }) => {
      const store = options.content.for({ namespace, lease: undefined });
      try {
        return await readImageLabels(store, images.get({ namespace, name: image }).target, {
          os: "linux",
          architecture: machineArchitecture(),
        });
      } catch (thrown) {
        if (["NOT_FOUND", "INVALID_ARGUMENT"].includes(LazuliError.from(thrown).code)) return undefined;
        throw thrown;
      }
    },
    onUpdated: ({ namespace, id, image, labels, snapshotKey }) => {
      const event = packedEvent(ContainerUpdateSchema, { id, image, labels: { ...labels }, snapshotKey });
      events.publish({ namespace, topic: "/containers/update", event });
    },
  });
}
