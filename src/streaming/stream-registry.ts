import { alreadyExists, notFound, resourceExhausted } from "../errors/index.js";
import type { ObjectStream } from "./object-stream.js";

/** Where a stream is found: names are of a namespace. */
export interface StreamName {
  readonly namespace: string;
  readonly id: string;
}

export interface RegisterStream extends StreamName {
  /** The stream ends with it. */
  readonly lease: string | undefined;
  readonly stream: ObjectStream;
}

interface Registered extends RegisterStream {
  readonly timer: NodeJS.Timeout;
}

/** Streams at once; one beyond it is refused. */
const STREAMS_MAX = 1000;
/** Longest name; another is refused. */
const ID_BYTES_MAX = 256;
/** A stream that no call has asked for by then is closed. */
const UNUSED_MS = 60_000;

/** Streams that clients have opened, for the calls that name them. */
export class StreamRegistry {
  readonly #streams = new Map<string, Registered>();
  readonly #unusedMs: number;

  constructor(options: { readonly unusedMs?: number } = {}) {
    this.#unusedMs = options.unusedMs ?? UNUSED_MS;
  }

  get size(): number {
    return this.#streams.size;
  }

  /** The stream can be had until this is disposed. @throws ALREADY_EXISTS, RESOURCE_EXHAUSTED */
  register(request: RegisterStream): Disposable {
    const { id, stream } = request;
    const key = keyOf(request);
    if (Buffer.byteLength(id) > ID_BYTES_MAX || this.#streams.size >= STREAMS_MAX) {
      throw resourceExhausted(
        `Cannot open a stream: want at most ${STREAMS_MAX}, and names of at most ${ID_BYTES_MAX} bytes`,
        { reason: "streams-max" },
      );
    }
    if (this.#streams.has(key)) {
      throw alreadyExists(`stream ${JSON.stringify(id)}`, { subject: id, reason: "stream-exists" });
    }
    const timer = setTimeout(() => this.#end(registered), this.#unusedMs);
    timer.unref();
    const registered: Registered = { ...request, stream, timer };
    this.#streams.set(key, registered);
    return { [Symbol.dispose]: () => this.#forget(registered) };
  }

  /** @throws NOT_FOUND */
  get(name: StreamName): ObjectStream {
    const found = this.#streams.get(keyOf(name));
    if (found === undefined) {
      throw notFound(`stream ${JSON.stringify(name.id.slice(0, ID_BYTES_MAX))}`, {
        subject: name.id,
        reason: "stream-missing",
      });
    }
    clearTimeout(found.timer);
    return found.stream;
  }

  /** Closes the streams of a lease that is gone. */
  endLease({ namespace, lease }: { readonly namespace: string; readonly lease: string }): void {
    for (const one of [...this.#streams.values()]) {
      if (one.namespace === namespace && one.lease === lease) this.#end(one);
    }
  }

  #end(registered: Registered): void {
    this.#forget(registered);
    registered.stream.close();
  }

  #forget(registered: Registered): void {
    clearTimeout(registered.timer);
    const key = keyOf(registered);
    if (this.#streams.get(key) === registered) this.#streams.delete(key);
  }
}

/** A namespace has no slash. */
function keyOf({ namespace, id }: StreamName): string {
  return `${namespace}/${id}`;
}
