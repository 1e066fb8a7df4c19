import { randomBytes } from "node:crypto";
import type { Any } from "@bufbuild/protobuf/wkt";
import { EmptySchema } from "@bufbuild/protobuf/wkt";
import { StreamInitSchema } from "../../gen/containerd/services/streaming/v1/streaming_pb.js";
import { unavailable } from "../errors/index.js";
import { type ObjectStream, objectStream } from "./object-stream.js";
import { packedObject, unpackedObject } from "./packed.js";

export interface OpenStream {
  readonly id: string;
  /** The call `containerd.services.streaming.v1.Streaming/Stream`, with the headers of the namespace and the lease. */
  readonly call: (requests: AsyncIterable<Any>) => AsyncIterable<Any>;
  /** Ends the stream. */
  readonly signal: AbortSignal;
}

/** Opens a stream at a server; when it resolves, calls may name it. @throws UNAVAILABLE, and what the call throws */
export async function openStream({ id, call, signal }: OpenStream): Promise<ObjectStream> {
  let incoming: AsyncIterator<Any> | undefined;
  const later: AsyncIterator<Any> = { next: async () => await incoming!.next() };
  const { stream, outgoing } = objectStream({ incoming: later, signal });
  await stream.send(packedObject(StreamInitSchema, { id }), { signal });
  incoming = call(outgoing)[Symbol.asyncIterator]();
  const answer = await stream.receive({ signal });
  if (answer === undefined) {
    throw unavailable(`Cannot open stream ${id}: the server has ended it`, { reason: "stream-ended" });
  }
  unpackedObject(EmptySchema, answer);
  return stream;
}

const NANOSECONDS = 1_000_000_000n;
const RANDOM_BYTES = 3;

/** A name that no other stream has: `<prefix>-<nanoseconds>-<random>`, as containerd's clients name theirs. */
export function streamId(prefix: string): string {
  const nanoseconds = process.hrtime.bigint() % NANOSECONDS;
  return `${prefix}-${nanoseconds}-${randomBytes(RANDOM_BYTES).toString("base64url")}`;
}
