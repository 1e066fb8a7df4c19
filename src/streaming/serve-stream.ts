import type { Any } from "@bufbuild/protobuf/wkt";
import { EmptySchema } from "@bufbuild/protobuf/wkt";
import { StreamInitSchema } from "../../gen/containerd/services/streaming/v1/streaming_pb.js";
import { invalidArgument } from "../errors/index.js";
import { objectStream } from "./object-stream.js";
import { packedObject, unpackedObject } from "./packed.js";
import type { StreamRegistry } from "./stream-registry.js";

export interface ServeStream {
  readonly registry: StreamRegistry;
  readonly requests: AsyncIterable<Any>;
  readonly namespace: string;
  readonly lease: string | undefined;
  /** Of the call. */
  readonly signal: AbortSignal;
}

/**
 * Answers one call of Streaming/Stream: the stream can be had from the registry from the acknowledgement on, until it
 * is closed at this end or the client is gone. @throws INVALID_ARGUMENT, ALREADY_EXISTS, RESOURCE_EXHAUSTED
 */
export async function* serveStream(options: ServeStream): AsyncGenerator<Any> {
  const { registry, namespace, lease, signal } = options;
  const incoming = options.requests[Symbol.asyncIterator]();
  const first = await incoming.next();
  if (first.done === true) {
    throw invalidArgument("Cannot open a stream: want its name first, got nothing", {
      reason: "stream-init-missing",
    });
  }
  const { id } = unpackedObject(StreamInitSchema, first.value);
  const { stream, outgoing } = objectStream({ incoming, signal });
  using _registered = registry.register({ namespace, lease, id, stream });
  yield packedObject(EmptySchema, {});
  yield* outgoing;
}
