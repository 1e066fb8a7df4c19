import { randomBytes } from "node:crypto";
import type { DescMessage, MessageInitShape } from "@bufbuild/protobuf";
import { create, toBinary } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import { StreamInitSchema } from "../../gen/containerd/services/streaming/v1/streaming_pb.js";
import { type Deferred, deferred, linkSignals } from "../async/index.js";
import type { Connection } from "./connection.js";
import type { Waiting } from "./messages.js";

/** A message as containerd packs it: its bare name for a type URL. */
export function packed<S extends DescMessage>(
  schema: S,
  value: MessageInitShape<S>,
): { typeUrl: string; value: Uint8Array } {
  return { typeUrl: schema.typeName, value: toBinary(schema, create(schema, value)) };
}

interface StreamOptions extends Waiting {
  /** First part of its name: `progress`. */
  readonly prefix: string;
  readonly onMessage: (message: Any, send: (message: { typeUrl: string; value: Uint8Array }) => void) => void;
}

/** A stream that other calls refer to by its name (containerd's Streaming service). Ends when it is disposed. */
export interface NamedStream extends AsyncDisposable {
  readonly name: string;
}

/** Messages that wait to be sent: answers to questions of the server, of which it has one at a time. */
const QUEUE_MAX = 1000;

/** Opens a stream and waits until the server knows it. */
export async function openNamedStream(connection: Connection, options: StreamOptions): Promise<NamedStream> {
  const name = `${options.prefix}-${Date.now() % 1_000_000_000}-${randomBytes(3).toString("base64url")}`;
  const linked = linkSignals([options.signal]);
  const queue: { typeUrl: string; value: Uint8Array }[] = [packed(StreamInitSchema, { id: name })];
  let wake: Deferred<void> | undefined;
  let isEnded = false;
  const send = (message: { typeUrl: string; value: Uint8Array }): void => {
    if (queue.length < QUEUE_MAX) queue.push(message);
    wake?.resolve();
  };
  const requests = async function* () {
    for (;;) {
      const next = queue.shift();
      if (next !== undefined) yield next;
      else if (isEnded) return;
      else {
        wake = deferred<void>();
        await wake.promise;
      }
    }
  };
  const ready = deferred<void>();
  const receive = async (): Promise<void> => {
    const answers = connection.services.streaming.stream(requests(), connection.options(linked.signal));
    let isReady = false;
    for await (const message of answers) {
      if (isReady) options.onMessage(message, send);
      isReady = true;
      ready.resolve();
    }
  };
  const finished = receive().catch((thrown: unknown) => {
    // Whoever waits for the stream to open sees it; later the call that the stream belongs to has the better error.
    ready.reject(
      connection.error(thrown, { action: "open a stream", subject: name, signal: options.signal }),
    );
  });
  const close = async (): Promise<void> => {
    isEnded = true;
    wake?.resolve();
    linked.abort();
    await finished;
    linked[Symbol.dispose]();
  };
  try {
    await ready.promise;
  } catch (thrown) {
    await close();
    throw thrown;
  }
  return { name, [Symbol.asyncDispose]: close };
}
