import type { LookupFunction } from "node:net";
import { Readable } from "node:stream";
import { Agent, type Dispatcher } from "undici";
import { linkSignals } from "../async/index.js";
import { deadlineExceeded, failedPrecondition, LazuliError } from "../errors/index.js";
import { addressRefused, isWithinReach, lookupWithin, type Reach } from "./addresses.js";
import { BoundedMap } from "./bounded-map.js";
import type { Clock } from "./clock.js";
import type { TlsFacts } from "./endpoint.js";
import { type RequestKind, requestChannel } from "./events.js";
import { Exchange } from "./exchange.js";
import { transportFailure } from "./failures.js";
import type { HostStates } from "./host-states.js";
import { AGENTS_MAX, KEEP_ALIVE_MS } from "./limits.js";
import { retryAfterMs } from "./retry-after.js";
import { SecureContexts } from "./secure-contexts.js";
import type { RequestPriority } from "./slots.js";
import { StallTimer } from "./stall-timer.js";

export interface TransportOptions {
  readonly stallTimeoutMs: number;
  readonly connectTimeoutMs: number;
  readonly requestsPerHostMax: number;
  /** Cap of what a host may ask for with `Retry-After`. */
  readonly pauseMaxMs: number;
  readonly userAgent: string;
  readonly clock: Clock;
  readonly hosts: HostStates;
  readonly lookup: LookupFunction | undefined;
}

/** A body of known length in one piece, or in pieces. */
export type RequestBody = string | Uint8Array | (() => AsyncIterable<Uint8Array>);

export interface TransportRequest {
  readonly kind: RequestKind;
  readonly method: "GET" | "HEAD" | "POST" | "PUT";
  readonly url: URL;
  readonly headers: Readonly<Record<string, string | readonly string[]>>;
  /** Bytes, or where they come from: asked anew for each time that the request is sent. */
  readonly body?: RequestBody | undefined;
  readonly tls: TlsFacts;
  readonly reach: Reach;
  readonly connectTimeoutMs: number | undefined;
  readonly attempt: number;
  readonly signal: AbortSignal | undefined;
  readonly priority?: RequestPriority | undefined;
}

/** Sends one HTTP request at a time, without redirects, credentials or retries, over connections that are shared. */
export class Transport {
  readonly #options: TransportOptions;
  readonly #agents: BoundedMap<string, Agent>;
  readonly #secureContexts = new SecureContexts();
  #isClosed = false;

  constructor(options: TransportOptions) {
    this.#options = options;
    this.#agents = new BoundedMap({
      entriesMax: AGENTS_MAX,
      // Its last requests end in peace; when closing fails the connections are gone anyway.
      dropped: (agent) => void agent.close().catch(() => undefined),
    });
  }

  /** Does now what the first connection would wait for. @throws UNAVAILABLE `tls-failed` */
  prepare(tls: TlsFacts): void {
    this.#secureContexts.of(tls);
  }

  /** The head of the answer, whatever its status. @throws UNAVAILABLE, DEADLINE_EXCEEDED, the signal's reason */
  async exchange(request: TransportRequest): Promise<Exchange> {
    const { hosts, clock, stallTimeoutMs } = this.#options;
    const host = request.url.host;
    if (!isWithinReach(request.url.hostname, request.reach)) throw addressRefused(request.url.hostname);
    const release = await hosts.slots(request.url.origin).take(request.signal, request.priority);
    const startedMs = clock.monotonicMs();
    const link = linkSignals([request.signal]);
    const stall = new StallTimer({
      timeoutMs: stallTimeoutMs,
      stalled: () => link.abort(stalled(host, stallTimeoutMs)),
    });
    const ended = (facts: { status: number; bytes: number; reason: string | undefined }): void => {
      release();
      const durationMs = clock.monotonicMs() - startedMs;
      const { kind, method, attempt } = request;
      requestChannel.publish({ kind, host, method, attempt, durationMs, ...facts });
    };
    try {
      // Opening the connection has a limit of its own, which a hosts.toml may set higher than a stall.
      stall.start(Math.max(stallTimeoutMs, request.connectTimeoutMs ?? 0));
      const response = await this.#send(request, { signal: link.signal, stall });
      stall.stop();
      this.#notePause(response, request.url.origin);
      return new Exchange({
        response,
        url: request.url,
        method: request.method,
        authorization: authorizationOf(request),
        link,
        stall,
        slowAfterMs: 3 * stallTimeoutMs,
        clock,
        ended: (facts) => ended({ status: response.statusCode, ...facts }),
      });
    } catch (error) {
      stall.stop();
      link[Symbol.dispose]();
      const failure = link.signal.aborted ? link.signal.reason : transportFailure(error, host);
      const reason = failure instanceof LazuliError ? failure.reason : "canceled";
      if (reason === "connect-failed" || reason === "connect-timeout") hosts.avoid(request.url.origin);
      ended({ status: 0, bytes: 0, reason });
      throw failure;
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all([...this.#agents.values()].map((agent) => agent.destroy()));
  }

  async #send(
    request: TransportRequest,
    { signal, stall }: { readonly signal: AbortSignal; readonly stall: StallTimer },
  ): Promise<Dispatcher.ResponseData> {
    if (this.#isClosed) {
      throw failedPrecondition("Cannot send a request: the registry client is closed", { reason: "closed" });
    }
    const headers: Record<string, string | string[]> = {
      "user-agent": this.#options.userAgent,
      "accept-encoding": "identity",
    };
    for (const [name, value] of Object.entries(request.headers)) {
      headers[name.toLowerCase()] = typeof value === "string" ? value : [...value];
    }
    return await this.#agent(request).request({
      origin: request.url.origin,
      path: request.url.pathname + request.url.search,
      method: request.method,
      headers,
      body: bodyOf(request.body, stall),
      signal,
    });
  }

  #notePause(response: Dispatcher.ResponseData, origin: string): void {
    if (response.statusCode !== 429 && response.statusCode !== 503) return;
    const asked = retryAfterMs(response.headers["retry-after"], this.#options.clock.epochMs());
    if (asked !== undefined) this.#options.hosts.pause(origin, Math.min(asked, this.#options.pauseMaxMs));
  }

  #agent(request: TransportRequest): Agent {
    const connectTimeoutMs = request.connectTimeoutMs ?? this.#options.connectTimeoutMs;
    const facts = [request.url.protocol, request.reach?.join() ?? "any", connectTimeoutMs];
    const key = [this.#secureContexts.keyOf(request.tls), ...facts].join(" ");
    let agent = this.#agents.get(key);
    if (agent === undefined) {
      const { tls, reach } = request;
      agent = new Agent({
        connections: this.#options.requestsPerHostMax,
        pipelining: 1,
        keepAliveTimeout: KEEP_ALIVE_MS,
        // The stall timer does their work, to the millisecond and without the time that our own reader takes.
        headersTimeout: 0,
        bodyTimeout: 0,
        connect: {
          timeout: connectTimeoutMs,
          lookup: lookupWithin(reach, this.#options.lookup),
          autoSelectFamily: true,
          rejectUnauthorized: tls.verify,
          ...(request.url.protocol === "https:" ? { secureContext: this.#secureContexts.of(tls) } : {}),
        },
      });
      this.#agents.set(key, agent);
    }
    return agent;
  }
}

function authorizationOf({ headers }: TransportRequest): string | undefined {
  const value = Object.entries(headers).find(([name]) => name.toLowerCase() === "authorization")?.[1];
  return typeof value === "string" ? value : value?.join(", ");
}

/** A body in pieces: the time that its source takes counts as waiting for the network does. */
function bodyOf(body: RequestBody | undefined, stall: StallTimer): string | Uint8Array | Readable | null {
  if (typeof body !== "function") return body ?? null;
  const pieces = async function* (): AsyncIterable<Uint8Array> {
    for await (const piece of body()) {
      stall.start();
      yield piece;
    }
    stall.start();
  };
  return Readable.from(pieces(), { objectMode: false });
}

function stalled(host: string, stallTimeoutMs: number): LazuliError {
  return deadlineExceeded(`Cannot read from ${host}: want a byte within ${stallTimeoutMs} ms, got none`, {
    subject: host,
    reason: "stalled",
  });
}
