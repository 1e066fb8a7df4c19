import { TaskDeleteSchema, TaskExitSchema } from "../../gen/containerd/events/task_pb.js";
import { Events } from "../../gen/containerd/services/events/ttrpc/v1/events_pb.js";
import { invalidArgument } from "../errors/index.js";
import { type EventExchange, packedEvent } from "../events/index.js";
import { serveTtrpc, type TtrpcServer, ttrpcService } from "../ttrpc/index.js";
import type { ProcessExit, TaskName } from "./contract.js";
import { timeOf, timestampMessage } from "./times.js";

/** Events of a task whose shim can't tell them any more. */
export function publishDeadTask(
  events: EventExchange,
  task: TaskName & { readonly exit: ProcessExit },
): void {
  const { namespace, id, exit } = task;
  const facts = {
    containerId: id,
    id,
    pid: exit.pid,
    exitStatus: exit.exitStatus,
    ...(exit.exitedAt === undefined ? {} : { exitedAt: timestampMessage(exit.exitedAt) }),
  };
  events.publish({ namespace, topic: "/tasks/exit", event: packedEvent(TaskExitSchema, facts) });
  events.publish({
    namespace,
    topic: "/tasks/delete",
    event: packedEvent(TaskDeleteSchema, { ...facts, id: "" }),
  });
}

/** Serves the socket on which shims tell what happens to their tasks. */
export async function serveShimEvents(options: {
  readonly socketPath: string;
  readonly mode: number;
  readonly events: EventExchange;
}): Promise<TtrpcServer> {
  const { socketPath, mode, events } = options;
  const service = ttrpcService(Events, {
    forward: async ({ envelope }) => {
      const timestamp = timeOf(envelope?.timestamp);
      if (envelope === undefined || timestamp === undefined) {
        throw invalidArgument("timestamp must be set on forwarded event", { reason: "event-time-missing" });
      }
      const { namespace, topic, event } = envelope;
      events.forward({ timestamp, namespace, topic, event });
      return {};
    },
  });
  return await serveTtrpc({ socketPath, mode, services: [service] });
}
