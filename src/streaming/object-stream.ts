import type { Any } from "@bufbuild/protobuf/wkt";
import { withSignal } from "../async/index.js";
import { unavailable } from "../errors/index.js";

export interface Waiting {
  readonly signal?: AbortSignal | undefined;
}

/** One end of a stream of objects in both directions. One reader at a time, any number of senders. */
export interface ObjectStream {
  /** Waits while too many objects wait already. @throws UNAVAILABLE when the stream has ended */
  send(object: Any, options?: Waiting): Promise<void>;
  /** Sends unless too many wait or the stream has ended. @returns whether it is going to be sent */
  offer(object: Any): boolean;
  /** The next object; undefined when the other end sends no more. @throws what broke the stream */
  receive(options?: Waiting): Promise<Any | undefined>;
  /** Resolves when all that was sent has been handed to the connection, or the stream has ended. */
  flush(options?: Waiting): Promise<void>;
  /** Sends nothing more; what waits is still sent. Safe to call twice. */
  close(): void;
}

export interface ObjectStreamOptions {
  readonly incoming: AsyncIterator<Any>;
  /** Ends both directions. */
  readonly signal: AbortSignal;
}

/** Objects that wait for a slow connection; `send` waits beyond it, and `offer` drops. */
const WAITING_MAX = 1024;

/** Makes a stream of what comes in; `outgoing` has to be put into the connection. */
export function objectStream(options: ObjectStreamOptions): {
  readonly stream: ObjectStream;
  readonly outgoing: AsyncGenerator<Any>;
} {
  const half = new SendingHalf(options.signal);
  let next: Promise<IteratorResult<Any, unknown>> | undefined;
  const stream: ObjectStream = {
    send: async (object, waiting) => await half.send(object, waiting?.signal),
    offer: (object) => half.offer(object),
    flush: async (waiting) => await half.flush(waiting?.signal),
    close: () => half.close(),
    receive: async ({ signal } = {}) => {
      // A receive that was given up leaves its object for the next one.
      next ??= options.incoming.next();
      next.catch(() => undefined);
      const result = await withSignal(next, signal);
      if (result.done === true) return undefined;
      next = undefined;
      return result.value;
    },
  };
  return { stream, outgoing: half.outgoing() };
}

class SendingHalf {
  readonly #waiting: Any[] = [];
  readonly #changed = new Set<() => void>();
  #isClosed = false;
  #isOver = false;
  /** The connection has taken an object and not yet asked for the one behind it. */
  #isSending = false;

  constructor(signal: AbortSignal) {
    signal.addEventListener("abort", () => this.#end(), { once: true });
    if (signal.aborted) this.#end();
  }

  async send(object: Any, signal: AbortSignal | undefined): Promise<void> {
    while (!this.#hasEnded() && this.#waiting.length >= WAITING_MAX) await this.#change(signal);
    signal?.throwIfAborted();
    if (this.offer(object)) return;
    throw unavailable("Cannot send on the stream: it has ended", { reason: "stream-ended" });
  }

  offer(object: Any): boolean {
    if (this.#hasEnded() || this.#waiting.length >= WAITING_MAX) return false;
    this.#waiting.push(object);
    this.#wake();
    return true;
  }

  async flush(signal: AbortSignal | undefined): Promise<void> {
    while (!this.#isOver && (this.#waiting.length > 0 || this.#isSending)) await this.#change(signal);
  }

  close(): void {
    this.#isClosed = true;
    this.#wake();
  }

  async *outgoing(): AsyncGenerator<Any> {
    try {
      while (!this.#isOver) {
        this.#isSending = false;
        const object = this.#waiting.shift();
        this.#wake();
        if (object === undefined) {
          if (this.#isClosed) return;
          await this.#change(undefined);
          continue;
        }
        this.#isSending = true;
        yield object;
      }
    } finally {
      this.#end();
    }
  }

  #hasEnded(): boolean {
    return this.#isClosed || this.#isOver;
  }

  #end(): void {
    this.#isOver = true;
    this.#waiting.length = 0;
    this.#wake();
  }

  #wake(): void {
    for (const wake of [...this.#changed]) wake();
  }

  async #change(signal: AbortSignal | undefined): Promise<void> {
    let wake!: () => void;
    const changed = new Promise<void>((resolve) => {
      wake = resolve;
    });
    this.#changed.add(wake);
    try {
      await withSignal(changed, signal);
    } finally {
      this.#changed.delete(wake);
    }
  }
}
