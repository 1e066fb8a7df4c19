import type { MessageInitShape } from "@bufbuild/protobuf";
import type {
  WriteContentRequestSchema,
  WriteContentResponse,
} from "../../gen/containerd/services/content/v1/content_pb.js";
import { type Deferred, deferred, linkSignals } from "../async/index.js";
import { failedPrecondition } from "../errors/index.js";
import type { ProxyConnection } from "./proxy-connection.js";

export type WriteRequest = MessageInitShape<typeof WriteContentRequestSchema>;

/** Longest wait for the service to end a stream that we have ended; then it is reset. */
const END_TIMEOUT_MS = 30_000;

export interface WriteStreamOptions {
  readonly connection: ProxyConnection;
  readonly ref: string;
  /** Breaks the stream off. */
  readonly signal: AbortSignal | undefined;
}

/** One call of Write: each request has one answer, in order, and several may be under way. */
export class WriteStream {
  readonly #options: WriteStreamOptions;
  /** As long as the answers that are awaited: the writer bounds those. */
  readonly #requests: WriteRequest[] = [];
  readonly #awaited: Deferred<WriteContentResponse>[] = [];
  readonly #linked;
  readonly #finished: Promise<void>;
  #wake: Deferred<void> | undefined;
  #isEnded = false;
  #failure: Error | undefined;

  constructor(options: WriteStreamOptions) {
    this.#options = options;
    this.#linked = linkSignals([options.signal]);
    this.#finished = this.#receive();
  }

  async exchange(request: WriteRequest): Promise<WriteContentResponse> {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#isEnded) throw this.#closed();
    const answer = deferred<WriteContentResponse>();
    this.#awaited.push(answer);
    this.#requests.push(request);
    this.#wake?.resolve();
    const { connection, ref } = this.#options;
    const call = { action: "write a blob", subject: ref };
    return await connection.inTime(call, answer.promise, () => this.#linked.abort());
  }

  /** Says that no request follows, and waits until the service has let go of the ingest. Safe to call twice. */
  async end(): Promise<void> {
    this.#isEnded = true;
    this.#wake?.resolve();
    const timer = setTimeout(() => this.#linked.abort(), END_TIMEOUT_MS);
    await this.#finished;
    clearTimeout(timer);
  }

  async *#sent(): AsyncIterable<WriteRequest> {
    for (;;) {
      const request = this.#requests.shift();
      if (request !== undefined) {
        yield request;
        continue;
      }
      if (this.#isEnded) return;
      this.#wake = deferred();
      await this.#wake.promise;
    }
  }

  /** Hands the answers out; never throws: what goes wrong goes to who waits for an answer, now or later. */
  async #receive(): Promise<void> {
    const { connection, ref, signal } = this.#options;
    try {
      const options = connection.streamOptions(this.#linked.signal);
      for await (const response of connection.client.write(this.#sent(), options)) {
        // containerd sends its last answer twice.
        this.#awaited.shift()?.resolve(response);
      }
    } catch (thrown) {
      this.#failure = connection.error(thrown, { action: "write a blob", subject: ref, signal });
    }
    this.#isEnded = true;
    this.#wake?.resolve();
    this.#linked[Symbol.dispose]();
    for (const answer of this.#awaited.splice(0)) answer.reject(this.#failure ?? this.#closed());
  }

  #closed(): Error {
    return failedPrecondition("Cannot write a blob: want an open writer, got a closed one", {
      subject: this.#options.ref,
      reason: "writer-closed",
    });
  }
}
