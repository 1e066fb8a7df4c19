import { setMaxListeners } from "node:events";
import type { Duplex } from "node:stream";
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { type Request, RequestSchema, ResponseSchema } from "../../gen/ttrpc/request_pb.js";
import { deferred, linkSignals, withSignal } from "../async/index.js";
import { canceled, invalidArgument, LazuliError, resourceExhausted, unimplemented } from "../errors/index.js";
import { log } from "../observe/index.js";
import { encodeFrame, type Frame, FrameReader, frameTypes, STREAMING_FLAGS } from "./frame.js";
import type { TtrpcService } from "./service.js";
import { statusOf } from "./status.js";

/** Calls of one connection that are answered at once; a further one gets RESOURCE_EXHAUSTED. */
const CALLS_MAX = 1024;
/** Answers that the peer has not taken yet, in bytes; above it nothing more is read from this peer. */
const UNSENT_BYTES_MAX = 8 * 1024 * 1024;
const NANOSECONDS_A_MILLISECOND = 1_000_000n;
/** The longest timer of Node; a longer wait is the same as no limit. */
const TIMEOUT_MS_MAX = 2n ** 31n - 1n;

export interface TtrpcConnection {
  /** Settles when the connection has ended and every handler has returned. Never rejects. */
  readonly closed: Promise<void>;
  /** Ends the connection; the signals of its calls abort. */
  close(): void;
}

/** Answers the calls that come over one connection. It owns the stream from now on. */
export function serveTtrpcOver(stream: Duplex, services: readonly TtrpcService[]): TtrpcConnection {
  const connection = new ServerConnection(stream, services);
  return { closed: connection.closed, close: () => stream.destroy() };
}

class ServerConnection {
  readonly closed: Promise<void>;
  readonly #stream: Duplex;
  readonly #services: ReadonlyMap<string, TtrpcService>;
  readonly #reader = new FrameReader();
  readonly #running = new Set<Promise<void>>();
  readonly #ended = new AbortController();
  #lastStreamId = 0;

  constructor(stream: Duplex, services: readonly TtrpcService[]) {
    this.#stream = stream;
    this.#services = new Map(services.map((service) => [service.name, service]));
    const closed = deferred<void>();
    this.closed = closed.promise;
    setMaxListeners(CALLS_MAX, this.#ended.signal);
    stream.on("data", (chunk: Buffer) => this.#receive(chunk));
    stream.on("drain", () => stream.resume());
    stream.on("error", (error) => log.debug("A ttrpc connection broke", { error: error.message }));
    stream.on("end", () => stream.destroy());
    stream.on("close", () => {
      this.#ended.abort(canceled("The caller has gone", { reason: "ttrpc-closed" }));
      void Promise.allSettled(this.#running).then(() => closed.resolve());
    });
  }

  #receive(chunk: Buffer): void {
    for (const frame of this.#reader.push(chunk)) {
      const refusal = this.#take(frame);
      if (refusal !== undefined) this.#respond(frame.streamId, { status: statusOf(refusal) });
    }
    if (this.#stream.writableLength > UNSENT_BYTES_MAX) this.#stream.pause();
  }

  /** Starts the call of a frame, or returns why not. */
  #take(frame: Frame): LazuliError | undefined {
    const { streamId, type, flags, body } = frame;
    if (body === undefined) {
      return resourceExhausted("message length exceeds maximum message size of 4194304", {
        reason: "ttrpc-message-too-long",
      });
    }
    if (streamId % 2 !== 1) return invalidArgument("StreamID must be odd for client initiated streams");
    if (type === frameTypes.data) return invalidArgument("StreamID is no longer active");
    // Types of later versions are ignored, as the protocol says.
    if (type !== frameTypes.request) return undefined;
    if (streamId <= this.#lastStreamId) {
      return invalidArgument("StreamID cannot be re-used and must increment");
    }
    this.#lastStreamId = streamId;
    if ((flags & STREAMING_FLAGS) !== 0) return unimplemented("streams");
    if (this.#running.size >= CALLS_MAX) {
      return resourceExhausted(`Cannot take a call: want at most ${CALLS_MAX} at once, got one more`, {
        reason: "ttrpc-too-many-calls",
      });
    }
    let request: Request;
    try {
      request = fromBinary(RequestSchema, body);
    } catch (cause) {
      return invalidArgument("unmarshal request error", { reason: "ttrpc-bad-request", cause });
    }
    const call = this.#run(streamId, request).finally(() => this.#running.delete(call));
    this.#running.add(call);
    return undefined;
  }

  async #run(streamId: number, request: Request): Promise<void> {
    const { timeoutNano } = request;
    const timeoutMs = (timeoutNano + NANOSECONDS_A_MILLISECOND - 1n) / NANOSECONDS_A_MILLISECOND;
    const isLimited = timeoutNano > 0n && timeoutMs <= TIMEOUT_MS_MAX;
    using wait = linkSignals([this.#ended.signal], isLimited ? Number(timeoutMs) : undefined);
    let work: Promise<Uint8Array> | undefined;
    try {
      work = this.#method(request)(request.payload, {
        signal: wait.signal,
        metadata: metadataOf(request),
      });
      const payload = await withSignal(work, wait.signal);
      this.#respond(streamId, { status: { code: 0 }, payload });
    } catch (thrown) {
      this.#respond(streamId, { status: statusOf(thrown) });
    }
    // A handler that outlives its deadline still counts as a call of this connection; its end was told already.
    await work?.catch(() => undefined);
  }

  #method({ service, method }: Request): NonNullable<ReturnType<TtrpcService["methods"]["get"]>> {
    const known = this.#services.get(service);
    if (known === undefined) throw unimplemented(`service ${service}`, { subject: service });
    const found = known.methods.get(method);
    if (found === undefined) throw unimplemented(`method ${method}`, { subject: `${service}/${method}` });
    return found;
  }

  #respond(streamId: number, response: MessageInitShape<typeof ResponseSchema>): void {
    if (this.#stream.destroyed || !this.#stream.writable) return;
    const body = toBinary(ResponseSchema, create(ResponseSchema, response));
    try {
      this.#stream.write(encodeFrame({ streamId, type: frameTypes.response, body }));
    } catch (thrown) {
      // The answer is longer than a frame may be; its error is short.
      const status = statusOf(LazuliError.from(thrown));
      this.#respond(streamId, { status });
    }
  }
}

/** The first value of each key, as containerd's readers take it. */
function metadataOf({ metadata }: Request): Readonly<Record<string, string>> {
  const values = new Map<string, string>();
  for (const { key, value } of metadata) if (!values.has(key)) values.set(key, value);
  return Object.fromEntries(values);
}
