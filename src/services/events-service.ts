import type { MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError, type ConnectRouter, type HandlerContext } from "@connectrpc/connect";
import { Events } from "../../gen/containerd/services/events/v1/events_pb.js";
import type { EnvelopeSchema } from "../../gen/containerd/types/event_pb.js";
import { invalidArgument } from "../errors/index.js";
import type { EventExchange } from "../events/index.js";
import { requestContext } from "./request-context.js";
import { answer, rpcError } from "./rpc-error.js";
import { nanosecondsOf, timestampOf } from "./snapshot-messages.js";

/** `containerd.services.events.v1`. */
export function eventsService(exchange: EventExchange): (router: ConnectRouter) => void {
  return (router) => {
    router.service(Events, {
      publish: ({ topic, event }, { requestHeader }) =>
        answer(async () => {
          const { namespace } = requestContext(requestHeader);
          exchange.publish({ namespace, topic, event });
          return {};
        }),
      forward: ({ envelope }) =>
        answer(async () => {
          if (envelope?.timestamp === undefined) {
            throw invalidArgument("timestamp must be set on forwarded event", {
              reason: "event-time-missing",
            });
          }
          const { namespace, topic, event } = envelope;
          exchange.forward({ timestamp: nanosecondsOf(envelope.timestamp), namespace, topic, event });
          return {};
        }),
      subscribe: ({ filters }, context) => subscribe(exchange, filters, context),
    });
  };
}

async function* subscribe(
  exchange: EventExchange,
  filters: readonly string[],
  { signal }: HandlerContext,
): AsyncIterable<MessageInitShape<typeof EnvelopeSchema>> {
  try {
    for await (const { timestamp, namespace, topic, event } of exchange.subscribe(filters, { signal })) {
      yield {
        timestamp: timestampOf(timestamp),
        namespace,
        topic,
        ...(event === undefined ? {} : { event }),
      };
    }
  } catch (thrown) {
    const error = rpcError(thrown);
    if (error.code !== Code.InvalidArgument) throw error;
    // Only a filter can be wrong here, and containerd tells that without a code of its own.
    const told = `subscription error: failed parsing subscription filters: ${error.rawMessage}`;
    throw new ConnectError(told, Code.Unknown);
  }
}
