import { setImmediate } from "node:timers/promises";
import type { Dispatcher } from "undici";
import type { LinkedSignal } from "../async/index.js";
import { deadlineExceeded } from "../errors/index.js";
import type { Clock } from "./clock.js";
import { transportFailure } from "./failures.js";
import { hideSecrets } from "./hide-secrets.js";
import { DRAIN_BYTES_MAX, DRAIN_MS, SLOW_BYTES_MIN } from "./limits.js";
import type { StallTimer } from "./stall-timer.js";

export interface ExchangeOptions {
  readonly response: Dispatcher.ResponseData;
  readonly url: URL;
  readonly method: string;
  /** That was sent along. */
  readonly authorization: string | undefined;
  readonly link: LinkedSignal;
  readonly stall: StallTimer;
  readonly slowAfterMs: number;
  readonly clock: Clock;
  /** Called once, when the exchange is over: frees its place and tells observers. */
  readonly ended: (facts: { bytes: number; reason: string | undefined }) => void;
}

/** One answer of a server: its head, and its body as a stream that can't hang. Must be finished. */
export class Exchange {
  readonly url: URL;
  readonly status: number;
  readonly #options: ExchangeOptions;
  readonly #pieces: AsyncIterator<Buffer>;
  #bytes = 0;
  #reason: string | undefined;
  #isFinished = false;

  constructor(options: ExchangeOptions) {
    this.#options = options;
    this.url = options.url;
    this.status = options.response.statusCode;
    const body = options.response.body;
    // Breaks are seen by whoever reads the body; without a listener a late one would end the process.
    body.on("error", () => undefined);
    this.#pieces = body[Symbol.asyncIterator]();
  }

  get host(): string {
    return this.url.host;
  }

  /** A header by its lower-case name, several lines joined with commas. */
  header(name: string): string | undefined {
    const value = this.#options.response.headers[name];
    return Array.isArray(value) ? value.join(", ") : value;
  }

  /** The server's words without our secrets, for a message. */
  withoutSecrets(text: string): string {
    return hideSecrets(text, this.#options.authorization);
  }

  /** The header as a count of bytes; undefined when absent or not one. */
  get contentLength(): number | undefined {
    const text = this.header("content-length");
    return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
  }

  /**
   * The body. Waiting for the next piece is bounded by the stall timer, and a trickle by a least speed; the time that
   * the reader takes does not count. @throws UNAVAILABLE, DEADLINE_EXCEEDED, the signal's reason
   */
  async *pieces(): AsyncGenerator<Buffer, void, undefined> {
    const { clock, slowAfterMs } = this.#options;
    let waitedMs = 0;
    let windowBytes = 0;
    for (;;) {
      const askedMs = clock.monotonicMs();
      const next = await this.#next();
      if (next === undefined) return;
      waitedMs += clock.monotonicMs() - askedMs;
      windowBytes += next.length;
      if (waitedMs >= slowAfterMs) {
        if (windowBytes < SLOW_BYTES_MIN) throw this.#tooSlow(windowBytes, waitedMs);
        waitedMs = 0;
        windowBytes = 0;
      }
      yield next;
    }
  }

  /**
   * Ends the exchange: a short rest of the body is read away so that the connection can be used again, otherwise it
   * is closed. `reason` is told to observers when the answer itself was bad.
   */
  async finish(reason?: string): Promise<void> {
    if (this.#isFinished) return;
    this.#isFinished = true;
    const { body } = this.#options.response;
    this.#reason ??= reason;
    if (!body.destroyed && !body.readableEnded && this.#isWorthDraining()) await this.#drain();
    if (!body.readableEnded) body.destroy();
    // undici takes a connection for free one turn after its answer has ended: a request made sooner would open another one.
    else await setImmediate();
    this.#options.stall.stop();
    this.#options.link[Symbol.dispose]();
    this.#options.ended({ bytes: this.#bytes, reason: this.#reason });
  }

  async #next(): Promise<Buffer | undefined> {
    const { stall, link } = this.#options;
    stall.start();
    try {
      const next = await this.#pieces.next();
      if (next.done === true) return undefined;
      this.#bytes += next.value.length;
      return next.value;
    } catch (error) {
      const failure = link.signal.aborted ? link.signal.reason : transportFailure(error, this.host);
      this.#reason = failure?.reason ?? "canceled";
      throw failure;
    } finally {
      stall.stop();
    }
  }

  #isWorthDraining(): boolean {
    if (this.#options.link.signal.aborted) return false;
    const expected = this.#options.method === "HEAD" ? 0 : this.contentLength;
    return expected === undefined || expected - this.#bytes <= DRAIN_BYTES_MAX;
  }

  async #drain(): Promise<void> {
    const { body } = this.#options.response;
    const timer = setTimeout(() => body.destroy(), DRAIN_MS);
    const mostBytes = this.#bytes + DRAIN_BYTES_MAX;
    try {
      for (let piece = await this.#pieces.next(); piece.done !== true; piece = await this.#pieces.next()) {
        this.#bytes += piece.value.length;
        if (this.#bytes > mostBytes) break;
      }
    } catch {
      // Nobody wants these bytes: a break here only means that the connection can't be used again.
    } finally {
      clearTimeout(timer);
    }
  }

  #tooSlow(bytes: number, waitedMs: number) {
    this.#reason = "too-slow";
    return deadlineExceeded(
      `Cannot read on from ${this.host}: want ${SLOW_BYTES_MIN} bytes in ${Math.round(waitedMs)} ms, got ${bytes}`,
      { subject: this.host, reason: "too-slow" },
    );
  }
}
