import { create, type DescMessage, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { type Any, AnySchema } from "@bufbuild/protobuf/wkt";
import { invalidArgument, resourceExhausted } from "../errors/index.js";
import { type FieldReader, parseFilters } from "../filters/index.js";
import { requireIdentifier } from "../metadata/index.js";
import { eventField } from "./event-fields.js";

/** Something that happened, as it goes to those who listen. */
export interface EventEnvelope {
  /** Nanoseconds since 1970. */
  readonly timestamp: bigint;
  readonly namespace: string;
  /** A path such as `/images/create`. */
  readonly topic: string;
  readonly event: Any | undefined;
}

export interface EventExchange {
  /** Sends an event of this moment to all who listen, and keeps nothing. @throws INVALID_ARGUMENT */
  publish(event: Omit<EventEnvelope, "timestamp">): void;
  /** The same with an event of somebody else. @throws INVALID_ARGUMENT */
  forward(envelope: EventEnvelope): void;
  /** Events of all namespaces from the call on, until the signal ends it. @throws INVALID_ARGUMENT; RESOURCE_EXHAUSTED */
  subscribe(filters: readonly string[], options: { signal: AbortSignal }): AsyncIterable<EventEnvelope>;
}

/** Events that wait for a slow listener; one beyond it ends its subscription with RESOURCE_EXHAUSTED. */
const WAITING_MAX = 10_000;
/** Listeners at once; one beyond it is refused. */
const LISTENERS_MAX = 1000;

interface Listener {
  readonly matches: (read: FieldReader) => boolean;
  readonly waiting: EventEnvelope[];
  isOverrun: boolean;
  wake: () => void;
}

/** `now`: nanoseconds since 1970. */
export function createEventExchange({ now }: { readonly now: () => bigint }): EventExchange {
  const listeners = new Set<Listener>();
  const forward = (envelope: EventEnvelope): void => {
    checkEnvelope(envelope);
    for (const listener of listeners) offer(listener, envelope);
  };
  return {
    forward,
    publish: (event) => forward({ ...event, timestamp: now() }),
    subscribe: (filters, { signal }) => {
      if (listeners.size >= LISTENERS_MAX) {
        throw resourceExhausted(`Cannot listen to events: at most ${LISTENERS_MAX} may listen`, {
          reason: "events-listeners-max",
        });
      }
      const listener: Listener = {
        matches: parseFilters(filters),
        waiting: [],
        isOverrun: false,
        wake: () => undefined,
      };
      listeners.add(listener);
      return received(listener, { signal, end: () => listeners.delete(listener) });
    },
  };
}

/** A message as containerd's clients want it in an event: its type is the bare name, without a host before it. */
export function packedEvent<Schema extends DescMessage>(
  schema: Schema,
  message: MessageInitShape<Schema>,
): Any {
  return create(AnySchema, { typeUrl: schema.typeName, value: toBinary(schema, create(schema, message)) });
}

function offer(listener: Listener, envelope: EventEnvelope): void {
  if (!listener.matches(fieldsOf(envelope))) return;
  if (listener.waiting.length >= WAITING_MAX) listener.isOverrun = true;
  else listener.waiting.push(envelope);
  listener.wake();
}

async function* received(
  listener: Listener,
  { signal, end }: { readonly signal: AbortSignal; readonly end: () => void },
): AsyncGenerator<EventEnvelope> {
  const onAbort = (): void => listener.wake();
  signal.addEventListener("abort", onAbort);
  try {
    while (!signal.aborted) {
      yield* listener.waiting.splice(0);
      if (listener.isOverrun) {
        throw resourceExhausted(`Cannot keep more than ${WAITING_MAX} events for a listener that is slow`, {
          reason: "events-listener-slow",
        });
      }
      if (listener.waiting.length > 0 || signal.aborted) continue;
      await new Promise<void>((resolve) => {
        listener.wake = resolve;
      });
    }
  } finally {
    signal.removeEventListener("abort", onAbort);
    end();
  }
}

/** The messages are containerd's (events/exchange). */
function checkEnvelope({ namespace, topic }: EventEnvelope): void {
  requireIdentifier(namespace, "event envelope has invalid namespace: ");
  const prefix = `envelope topic ${JSON.stringify(topic)}: `;
  const bad = (what: string): Error => invalidArgument(`${prefix}${what}`, { reason: "topic-invalid" });
  if (topic === "") throw bad("must not be empty");
  if (!topic.startsWith("/")) throw bad("must start with '/'");
  if (topic.length === 1) throw bad("must have at least one component");
  for (const component of topic.slice(1).split("/")) {
    requireIdentifier(component, `${prefix}failed validation on component ${JSON.stringify(component)}: `);
  }
}

function fieldsOf({ namespace, topic, event }: EventEnvelope): FieldReader {
  return ([field, ...path]) => {
    switch (field) {
      case "namespace":
        return namespace;
      case "topic":
        return topic;
      case "event":
        return eventField(event, path);
      default:
        return undefined;
    }
  };
}
