import { type DescMessage, fromBinary, type Message } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import * as containerEvents from "../../gen/containerd/events/container_pb.js";
import * as contentEvents from "../../gen/containerd/events/content_pb.js";
import * as imageEvents from "../../gen/containerd/events/image_pb.js";
import * as namespaceEvents from "../../gen/containerd/events/namespace_pb.js";
import * as sandboxEvents from "../../gen/containerd/events/sandbox_pb.js";
import * as snapshotEvents from "../../gen/containerd/events/snapshot_pb.js";
import * as taskEvents from "../../gen/containerd/events/task_pb.js";
import type { Connection } from "./connection.js";
import { nanosecondsOf, type Waiting } from "./messages.js";

export interface ServerEvent {
  /** Nanoseconds since 1970. */
  readonly timestamp: bigint;
  readonly namespace: string;
  /** `/tasks/exit`. */
  readonly topic: string;
  /** `containerd.events.TaskExit`. */
  readonly type: string;
  /** The message with its fields; undefined for a type that is not containerd's. */
  readonly event: Message | undefined;
  /** As it came. */
  readonly packed: Any | undefined;
}

const modules: readonly object[] = [
  ...[containerEvents, contentEvents, imageEvents, namespaceEvents],
  ...[sandboxEvents, snapshotEvents, taskEvents],
];

const schemas: ReadonlyMap<string, DescMessage> = new Map(
  modules
    .flatMap((module) => Object.values(module) as unknown[])
    .filter(isSchema)
    .map((schema) => [schema.typeName, schema]),
);

function isSchema(value: unknown): value is DescMessage {
  return typeof value === "object" && value !== null && (value as { kind?: unknown }).kind === "message";
}

/** Events of all namespaces from now on, until `signal` fires or the reader stops. Filters as containerd's: `topic~="/tasks/"`. */
export async function* readEvents(
  connection: Connection,
  filters: readonly string[],
  { signal }: Waiting,
): AsyncGenerator<ServerEvent, void, undefined> {
  const facts = { action: "listen for events", signal };
  const envelopes = connection.stream(facts, ({ events }, options) =>
    events.subscribe({ filters: [...filters] }, options),
  );
  for await (const { timestamp, namespace, topic, event } of envelopes) {
    yield {
      timestamp: nanosecondsOf(timestamp),
      namespace,
      topic,
      type: typeOf(event),
      event: decoded(event),
      packed: event,
    };
  }
}

/** Some clients put Google's prefix before the name. */
function typeOf(event: Any | undefined): string {
  return event?.typeUrl.replace(/^type\.googleapis\.com\//, "") ?? "";
}

function decoded(event: Any | undefined): Message | undefined {
  const schema = schemas.get(typeOf(event));
  return schema === undefined || event === undefined ? undefined : fromBinary(schema, event.value);
}
