import { once } from "node:events";
import type { Duplex } from "node:stream";
import { LazuliError, unavailable } from "../../errors/index.js";
import { log } from "../../observe/index.js";
import { ByteQueue } from "./byte-queue.js";
import {
  controlFrame,
  DATA_BYTES_MAX,
  dataFrame,
  FLAG_FIN,
  type Frame,
  FrameReader,
  frameRefused,
  frameTypes,
} from "./spdy-frames.js";
import { HeaderCodec } from "./spdy-headers.js";

/** Streams of one connection; one more is refused. A port-forward has two for each connection through it. */
const STREAMS_MAX = 1000;
const PROTOCOL_ERROR = 1;
const REFUSED_STREAM = 3;

/** One stream that the client opened. */
export interface SpdyStream {
  /** Names in lower case. */
  readonly headers: ReadonlyMap<string, string>;
  /** What the client sends; ends when it closes its side. */
  readonly incoming: AsyncIterable<Uint8Array>;
  /** @throws UNAVAILABLE when the client is gone */
  write(bytes: Uint8Array): Promise<void>;
  /** Closes our side. */
  end(): void;
  /** Ends both sides at once. */
  reset(): void;
}

export interface SpdySessionOptions {
  /** The connection after the 101 answer, with what came behind the request. */
  readonly socket: Duplex;
  readonly head: Buffer;
  readonly idleTimeoutMs: number;
  /** A stream was opened and answered. False: it is none that is wanted, and is reset. */
  readonly onStream: (stream: SpdyStream) => boolean;
}

interface OpenStream extends SpdyStream {
  readonly queue: ByteQueue;
}

/**
 * The server's side of SPDY/3.1 as Kubernetes' clients speak it: streams that the client opens, without windows (their
 * library has none), so that the TCP connection's own flow control is what there is.
 */
export class SpdySession {
  readonly #socket: Duplex;
  readonly #codec = new HeaderCodec();
  readonly #streams = new Map<number, OpenStream>();
  readonly #onStream: (stream: SpdyStream) => boolean;
  readonly #gone = new AbortController();
  readonly #idle: NodeJS.Timeout;
  /** Frames are taken in order, and headers are inflated off the thread. */
  #work: Promise<void> = Promise.resolve();

  constructor(options: SpdySessionOptions) {
    this.#socket = options.socket;
    this.#onStream = options.onStream;
    this.#idle = setTimeout(() => this.#socket.destroy(), options.idleTimeoutMs);
    const reader = new FrameReader();
    const take = (bytes: Buffer): void => {
      this.#idle.refresh();
      this.#work = this.#work
        .then(async () => {
          for (const frame of reader.push(bytes)) await this.#take(frame);
        })
        .catch((thrown: unknown) => {
          log.debug("Ended a stream connection", { error: LazuliError.from(thrown).message });
          this.#socket.destroy();
        });
    };
    this.#socket.on("data", take);
    // The close that follows tells it.
    this.#socket.on("error", () => undefined);
    this.#socket.once("end", () => this.#socket.end());
    this.#socket.once("close", () => this.#onClose());
    if (options.head.length > 0) take(options.head);
  }

  /** Aborts when the client is gone. */
  get signal(): AbortSignal {
    return this.#gone.signal;
  }

  /** Ends the connection when what was sent has gone out. */
  close(): void {
    if (this.#socket.destroyed) return;
    const last = Buffer.alloc(8);
    this.#socket.end(controlFrame(frameTypes.goAway, 0, last));
    // What the client still sends is of no use, and must be read for the end to be seen.
    for (const { queue } of this.#streams.values()) queue.discard();
  }

  async #take(frame: Frame): Promise<void> {
    if (frame.kind === "data") {
      const stream = this.#streams.get(frame.stream);
      stream?.queue.push(frame.bytes);
      if (frame.isLast) stream?.queue.end();
      return;
    }
    const { type, flags, bytes } = frame;
    if (type === frameTypes.synStream) await this.#open(bytes, (flags & FLAG_FIN) !== 0);
    else if (type === frameTypes.rstStream) this.#drop(idOf(bytes));
    else if (type === frameTypes.ping) this.#send(controlFrame(frameTypes.ping, 0, bytes));
    else if (type === frameTypes.headers) await this.#codec.decode(bytes.subarray(4));
    // Settings and windows have no meaning between these two; a client that goes away closes the connection next.
  }

  async #open(bytes: Buffer, isLast: boolean): Promise<void> {
    if (bytes.length < 10) throw frameRefused("a whole SYN_STREAM", `${bytes.length} bytes`);
    const id = idOf(bytes);
    const headers = await this.#codec.decode(bytes.subarray(10));
    if (this.#streams.has(id) || id % 2 === 0) return this.#reset(id, PROTOCOL_ERROR);
    if (this.#streams.size >= STREAMS_MAX) return this.#reset(id, REFUSED_STREAM);
    const queue = new ByteQueue({
      onFull: () => this.#socket.pause(),
      onDrained: () => this.#socket.resume(),
    });
    if (isLast) queue.end();
    const stream: OpenStream = {
      headers,
      incoming: queue,
      queue,
      write: async (content) => await this.#write(id, content),
      end: () => this.#send(dataFrame(id, Buffer.alloc(0), true)),
      reset: () => this.#reset(id, PROTOCOL_ERROR),
    };
    this.#streams.set(id, stream);
    const reply = Buffer.alloc(4);
    reply.writeUInt32BE(id);
    this.#send(
      controlFrame(frameTypes.synReply, 0, Buffer.concat([reply, await this.#codec.encode(new Map())])),
    );
    if (!this.#onStream(stream)) this.#reset(id, REFUSED_STREAM);
  }

  async #write(id: number, bytes: Uint8Array): Promise<void> {
    for (let offset = 0; offset < bytes.length; offset += DATA_BYTES_MAX) {
      if (this.signal.aborted || !this.#streams.has(id)) {
        throw unavailable("Cannot send: the client is gone", { reason: "stream-client-gone" });
      }
      const hasRoom = this.#send(dataFrame(id, bytes.subarray(offset, offset + DATA_BYTES_MAX), false));
      // Aborted: the client went while it did not read.
      if (!hasRoom) await once(this.#socket, "drain", { signal: this.signal }).catch(() => undefined);
    }
  }

  #reset(id: number, status: number): void {
    const content = Buffer.alloc(8);
    content.writeUInt32BE(id);
    content.writeUInt32BE(status, 4);
    this.#send(controlFrame(frameTypes.rstStream, 0, content));
    this.#drop(id);
  }

  #drop(id: number): void {
    this.#streams.get(id)?.queue.end();
    this.#streams.delete(id);
  }

  /** Whether there is room for more at once. */
  #send(frame: Buffer): boolean {
    this.#idle.refresh();
    return this.#socket.writable ? this.#socket.write(frame) : true;
  }

  #onClose(): void {
    clearTimeout(this.#idle);
    for (const { queue } of this.#streams.values()) queue.end();
    this.#streams.clear();
    this.#codec[Symbol.dispose]();
    this.#gone.abort(unavailable("The client of the stream is gone", { reason: "stream-client-gone" }));
  }
}

function idOf(bytes: Buffer): number {
  if (bytes.length < 4) throw frameRefused("a stream's number", `${bytes.length} bytes`);
  return bytes.readUInt32BE() & 0x7fffffff;
}
