import { type CallOptions, type Client, createClient } from "@connectrpc/connect";
import { Content } from "../../gen/containerd/services/content/v1/content_pb.js";
import { type GrpcConnection, grpcOverSocket } from "../grpc/index.js";
import { type ProxyCall, proxyError, serviceSlow } from "./proxy-errors.js";

export interface ProxyOptions {
  readonly socketPath: string;
  readonly namespace: string;
  /** What is made through the proxy belongs to this lease. */
  readonly lease?: string | undefined;
  /** Longest wait for an answer, of a stream for each of them. Undefined: no end. */
  readonly callTimeoutMs?: number | undefined;
  /** Labels that every blob gets there beside its own. */
  readonly addedLabels?: Readonly<Record<string, string>> | undefined;
}

/** The client, its headers and its errors. Connects at the first call, and again after a break. */
export class ProxyConnection implements Disposable {
  readonly client: Client<typeof Content>;
  readonly #connection: GrpcConnection;
  readonly #options: ProxyOptions;

  constructor(options: ProxyOptions) {
    this.#options = options;
    // HTTP/2's own window of 64 KiB a stream: larger ones (1 and 4 MiB) moved no more bytes over a Unix socket. Gzip on the
    // way halved the rate of reads.
    this.#connection = grpcOverSocket(options.socketPath, { isBulk: true });
    this.client = createClient(Content, this.#connection.transport);
  }

  get addedLabels(): Readonly<Record<string, string>> {
    return this.#options.addedLabels ?? {};
  }

  /** Of a call with one answer. */
  callOptions(signal?: AbortSignal): CallOptions {
    const { callTimeoutMs: timeoutMs } = this.#options;
    return { ...this.streamOptions(signal), ...(timeoutMs === undefined ? {} : { timeoutMs }) };
  }

  /** Of a call whose answers are awaited with `inTime`. */
  streamOptions(signal?: AbortSignal): CallOptions {
    const { namespace, lease } = this.#options;
    return {
      headers: {
        "containerd-namespace": namespace,
        ...(lease === undefined ? {} : { "containerd-lease": lease }),
      },
      ...(signal === undefined ? {} : { signal }),
    };
  }

  /** Waits for one answer of a stream; `abort` breaks off one that does not come. @throws DEADLINE_EXCEEDED */
  async inTime<Answer>(call: ProxyCall, answer: Promise<Answer>, abort: () => void): Promise<Answer> {
    const { callTimeoutMs, socketPath } = this.#options;
    if (callTimeoutMs === undefined) return await answer;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => {
        reject(serviceSlow(socketPath, call));
        abort();
      }, callTimeoutMs);
    });
    try {
      return await Promise.race([answer, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  error(thrown: unknown, call: ProxyCall): Error {
    return proxyError(thrown, this.#options.socketPath, call);
  }

  async call<T>(call: ProxyCall, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (thrown) {
      throw this.error(thrown, call);
    }
  }

  [Symbol.dispose](): void {
    this.#connection[Symbol.dispose]();
  }
}
