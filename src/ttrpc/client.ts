import { connect } from "node:net";
import type { Duplex } from "node:stream";
import {
  create,
  type DescMessage,
  type DescMethodUnary,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { RequestSchema, type Response, ResponseSchema } from "../../gen/ttrpc/request_pb.js";
import { type Deferred, deferred, linkSignals, withSignal } from "../async/index.js";
import { internal, LazuliError, resourceExhausted, unavailable } from "../errors/index.js";
import { encodeFrame, type Frame, FrameReader, frameTypes, STREAM_ID_MAX } from "./frame.js";
import { errorOfStatus } from "./status.js";

/** Calls that one connection waits for; a further one fails with RESOURCE_EXHAUSTED. */
const PENDING_CALLS_MAX = 4096;
/** Bytes that the peer has not taken yet; while there are more a further call fails with RESOURCE_EXHAUSTED. */
const UNSENT_BYTES_MAX = 32 * 1024 * 1024;
/** timeout_nano is an i64; a longer wait is the same as no limit. */
const TIMEOUT_MS_MAX = 2 ** 31 - 1;
const NANOSECONDS_A_MILLISECOND = 1_000_000n;

export interface TtrpcCallOptions {
  /** Ends the wait; the protocol has no message that would tell the server. */
  readonly signal?: AbortSignal | undefined;
  readonly metadata?: Readonly<Record<string, string>> | undefined;
  /** Told to the server, and kept here too. Default: as long as it takes. */
  readonly timeoutMs?: number | undefined;
  /** Instead of the method's own service: one set of messages under two names. */
  readonly serviceName?: string | undefined;
}

export interface TtrpcClient {
  /**
   * One unary call.
   * @throws what the server answered (reason `ttrpc-status`, its code and message); UNAVAILABLE (reason
   * `ttrpc-closed`) when the connection ends first; DEADLINE_EXCEEDED after `timeoutMs`; CANCELED by `signal`
   */
  call<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    options?: TtrpcCallOptions,
  ): Promise<MessageShape<O>>;
  /** Settles when the connection has ended, for whatever reason. Never rejects. */
  readonly closed: Promise<void>;
  close(): void;
}

/** @throws NOT_FOUND, UNAVAILABLE … as the socket's errors are */
export async function connectTtrpc(options: {
  readonly path: string;
  readonly signal?: AbortSignal | undefined;
}): Promise<TtrpcClient> {
  const { path, signal } = options;
  signal?.throwIfAborted();
  const socket = connect(path);
  const connected = new Promise<void>((resolve, reject) => {
    socket.once("connect", resolve);
    socket.once("error", reject);
  });
  try {
    await withSignal(connected, signal);
  } catch (thrown) {
    socket.destroy();
    // When the signal came first nobody waits for the connection any more.
    connected.catch(() => undefined);
    throw LazuliError.from(thrown);
  }
  return ttrpcClientOver(socket);
}

/** A client on any connection. It owns the stream from now on. */
export function ttrpcClientOver(stream: Duplex): TtrpcClient {
  return new StreamClient(stream);
}

class StreamClient implements TtrpcClient {
  readonly closed: Promise<void>;
  readonly #stream: Duplex;
  readonly #pending = new Map<number, Deferred<Response>>();
  readonly #reader = new FrameReader();
  #lastStreamId = -1;

  constructor(stream: Duplex) {
    this.#stream = stream;
    const closed = deferred<void>();
    this.closed = closed.promise;
    let cause: unknown;
    stream.on("data", (chunk: Buffer) => this.#receive(chunk));
    stream.on("error", (error) => {
      cause = error;
    });
    // A peer that sends no more answers no more.
    stream.on("end", () => stream.destroy());
    stream.on("close", () => {
      this.#failAll(cause);
      closed.resolve();
    });
  }

  async call<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    options: TtrpcCallOptions = {},
  ): Promise<MessageShape<O>> {
    options.signal?.throwIfAborted();
    const subject = `${options.serviceName ?? method.parent.typeName}/${method.name}`;
    const payload = toBinary(method.input, create(method.input, request));
    const timeoutMs =
      options.timeoutMs === undefined ? undefined : Math.min(options.timeoutMs, TIMEOUT_MS_MAX);
    const body = toBinary(
      RequestSchema,
      create(RequestSchema, {
        service: options.serviceName ?? method.parent.typeName,
        method: method.name,
        payload,
        timeoutNano: BigInt(Math.ceil(timeoutMs ?? 0)) * NANOSECONDS_A_MILLISECOND,
        metadata: Object.entries(options.metadata ?? {}).map(([key, value]) => ({ key, value })),
      }),
    );
    using wait = linkSignals([options.signal], timeoutMs);
    const streamId = this.#send(body, subject);
    let response: Response;
    try {
      response = await withSignal(this.#pending.get(streamId)!.promise, wait.signal);
    } catch (thrown) {
      throw LazuliError.from(thrown);
    } finally {
      this.#pending.delete(streamId);
    }
    if (response.status !== undefined && response.status.code !== 0)
      throw errorOfStatus(response.status, subject);
    return parsed(method.output, response.payload, subject);
  }

  close(): void {
    this.#stream.destroy();
  }

  /** Writes a request and returns its stream id, which is pending from now on. */
  #send(body: Uint8Array, subject: string): number {
    if (this.#stream.destroyed || !this.#stream.writable) throw connectionClosed(undefined);
    if (this.#pending.size >= PENDING_CALLS_MAX || this.#stream.writableLength > UNSENT_BYTES_MAX) {
      throw resourceExhausted(
        `Cannot call ${subject}: want at most ${PENDING_CALLS_MAX} calls and ${UNSENT_BYTES_MAX} unsent bytes, got ${this.#pending.size} and ${this.#stream.writableLength}`,
        { subject, reason: "ttrpc-too-many-calls" },
      );
    }
    const streamId = this.#lastStreamId + 2;
    if (streamId > STREAM_ID_MAX) {
      // Ids are never used twice: the connection has come to its end.
      this.#stream.destroy();
      throw connectionClosed(undefined);
    }
    const frame = encodeFrame({ streamId, type: frameTypes.request, body });
    this.#lastStreamId = streamId;
    const answer = deferred<Response>();
    // Who gave up on the call does not look at its answer.
    answer.promise.catch(() => undefined);
    this.#pending.set(streamId, answer);
    this.#stream.write(frame);
    return streamId;
  }

  #receive(chunk: Buffer): void {
    for (const frame of this.#reader.push(chunk)) {
      // Frames of streams, and answers to calls that were given up, concern nobody.
      if (frame.type === frameTypes.response) this.#answer(frame);
    }
  }

  #answer({ streamId, body }: Frame): void {
    const pending = this.#pending.get(streamId);
    if (pending === undefined) return;
    if (body === undefined) {
      pending.reject(
        resourceExhausted("Cannot take an answer: want at most 4 MiB, got more", {
          reason: "ttrpc-answer-too-long",
        }),
      );
      return;
    }
    try {
      pending.resolve(parsed(ResponseSchema, body, "ttrpc.Response"));
    } catch (thrown) {
      pending.reject(thrown);
    }
  }

  #failAll(cause: unknown): void {
    for (const { reject } of this.#pending.values()) reject(connectionClosed(cause));
    this.#pending.clear();
  }
}

function connectionClosed(cause: unknown): LazuliError {
  // "ttrpc: closed" is what Go's clients look for.
  return unavailable("ttrpc: closed", {
    reason: "ttrpc-closed",
    ...(cause !== undefined && { cause }),
  });
}

function parsed<O extends DescMessage>(schema: O, bytes: Uint8Array, subject: string): MessageShape<O> {
  try {
    return fromBinary(schema, bytes);
  } catch (cause) {
    throw internal(`Cannot read the answer to ${subject}: want ${schema.typeName}, got other bytes`, {
      subject,
      reason: "ttrpc-bad-answer",
      cause,
    });
  }
}
