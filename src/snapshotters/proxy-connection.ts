import type { DescService } from "@bufbuild/protobuf";
import { type CallOptions, type Client, createClient } from "@connectrpc/connect";
import { delay, withSignal } from "../async/index.js";
import { failedPrecondition, type LazuliError } from "../errors/index.js";
import { type GrpcConnection, grpcOverSocket } from "../grpc/index.js";
import { isUnreachable, type ProxyCall, type ProxyPeer, proxyError, unreachable } from "./proxy-errors.js";

/** Pauses between attempts to connect double between these. */
const PAUSE_MIN_MS = 20;
const PAUSE_MAX_MS = 500;
/** How often a call that changes nothing is made when the other side goes away under it. */
const ATTEMPTS_MAX = 2;

/** Who calls, for the headers that a plugin may look at. */
export interface ProxyContext {
  readonly namespace?: string | undefined;
  readonly lease?: string | undefined;
}

/** `address` is the path of a Unix socket. */
export interface ProxyConnectionOptions extends ProxyPeer {
  /** Asked at each call. */
  readonly context: () => ProxyContext;
  /** Longest wait for a socket that takes no connection, e.g. since its server starts anew. */
  readonly connectTimeoutMs: number;
  /** Longest wait for an answer. */
  readonly callTimeoutMs: number;
}

/** The clients, their headers, their waits and their errors. Connects at the first call, and again after a break. */
export class ProxyConnection implements Disposable {
  readonly #options: ProxyConnectionOptions;
  readonly #connection: GrpcConnection;
  /** One attempt for all calls that wait. */
  #connecting: Promise<void> | undefined;
  #isClosed = false;

  constructor(options: ProxyConnectionOptions) {
    this.#options = options;
    this.#connection = grpcOverSocket(options.address, { isBulk: true });
  }

  client<Service extends DescService>(service: Service): Client<Service> {
    return createClient(service, this.#connection.transport);
  }

  get address(): string {
    return this.#options.address;
  }

  /**
   * Runs one call. One that changes nothing is made again when the connection breaks under it.
   * @throws what the plugin answers; UNAVAILABLE, DEADLINE_EXCEEDED without an answer
   */
  async call<Result>(
    call: ProxyCall & {
      readonly changesNothing?: boolean;
      readonly timeoutMs?: number | undefined /** Instead of who is asked about at each call. */;
      readonly context?: ProxyContext;
    },
    work: (options: CallOptions) => Promise<Result>,
  ): Promise<Result> {
    const attempts = call.changesNothing === true ? ATTEMPTS_MAX : 1;
    for (let attempt = 1; ; attempt += 1) {
      await this.connected(call);
      try {
        return await work(this.callOptions(call.signal, call.timeoutMs, call.context));
      } catch (thrown) {
        const error = proxyError(thrown, this.#options, call);
        if (!isUnreachable(error) || attempt >= attempts) throw error;
      }
    }
  }

  /** `timeoutMs` Infinity: the call has no end of its own. */
  callOptions(
    signal: AbortSignal | undefined,
    timeoutMs: number = this.#options.callTimeoutMs,
    context: ProxyContext = this.#options.context(),
  ): CallOptions {
    const { namespace = "", lease = "" } = context;
    return {
      headers: {
        ...(namespace === "" ? {} : { "containerd-namespace": namespace }),
        ...(lease === "" ? {} : { "containerd-lease": lease }),
      },
      ...(timeoutMs === Number.POSITIVE_INFINITY ? {} : { timeoutMs }),
      ...(signal === undefined ? {} : { signal }),
    };
  }

  /** Waits until there is a connection. @throws UNAVAILABLE when there is none in time; FAILED_PRECONDITION once closed */
  async connected(call: ProxyCall): Promise<void> {
    if (this.#isClosed) {
      throw failedPrecondition(`Cannot ${call.action}: want an open client, got a closed one`, {
        subject: this.address,
        reason: `${this.#options.kind}-closed`,
      });
    }
    try {
      call.signal?.throwIfAborted();
      this.#connecting ??= this.#connect(call).finally(() => {
        this.#connecting = undefined;
      });
      await withSignal(this.#connecting, call.signal);
    } catch (thrown) {
      throw proxyError(thrown, this.#options, call);
    }
  }

  error(thrown: unknown, call: ProxyCall): LazuliError {
    return proxyError(thrown, this.#options, call);
  }

  [Symbol.dispose](): void {
    this.#isClosed = true;
    this.#connection[Symbol.dispose]();
  }

  async #connect(call: ProxyCall): Promise<void> {
    const endsAt = performance.now() + this.#options.connectTimeoutMs;
    for (let pauseMs = PAUSE_MIN_MS; ; pauseMs = Math.min(pauseMs * 2, PAUSE_MAX_MS)) {
      if ((await this.#connection.session.connect()) !== "error") return;
      const cause = this.#connection.session.error();
      if (this.#isClosed || performance.now() + pauseMs > endsAt) {
        const message = cause instanceof Error ? cause.message : "no connection";
        throw unreachable(this.#options, call, { message, cause });
      }
      await delay(pauseMs);
    }
  }
}
