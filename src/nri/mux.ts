import { Duplex } from "node:stream";
import { deferred } from "../async/index.js";
import { unavailable } from "../errors/index.js";

/** Connections inside the one to a plugin (nri pkg/net/multiplex). */
export const muxConnections = { plugin: 1, runtime: 2 } as const;

/** Connection id and length of what follows, both u32 big endian. */
const HEADER_BYTES = 8;
/** A ttrpc message with its header: no frame is longer. */
const PAYLOAD_BYTES_MAX = 10 + 4 * 1024 * 1024;
/**
 * Go's peers read a frame with one read, and theirs fails when the buffer is shorter: it is 4096 bytes for the first
 * part of a ttrpc message, and as long as what is left of the message afterwards.
 */
const FIRST_FRAME_BYTES_MAX = 4096;

/** Two streams over one; the ends of one are the ends of all. */
export class Mux {
  readonly closed: Promise<void>;
  readonly #trunk: Duplex;
  readonly #channels = new Map<number, MuxChannel>();
  #header: Buffer = Buffer.alloc(0);
  /** Bytes that are left of the frame under way. */
  #left = 0;
  #target: MuxChannel | undefined;

  constructor(trunk: Duplex) {
    this.#trunk = trunk;
    const closed = deferred<void>();
    this.closed = closed.promise;
    for (const id of Object.values(muxConnections)) this.#channels.set(id, new MuxChannel(this, id));
    trunk.on("data", (chunk: Buffer) => this.#receive(chunk));
    // Its "close" follows; who reads the channels learns of it there.
    trunk.on("error", () => undefined);
    trunk.on("end", () => this.close());
    trunk.on("close", () => {
      for (const channel of this.#channels.values()) channel.destroy();
      closed.resolve();
    });
  }

  channel(id: (typeof muxConnections)[keyof typeof muxConnections]): Duplex {
    return this.#channels.get(id)!;
  }

  close(): void {
    this.#trunk.destroy();
  }

  /** Writes one ttrpc message; `written` is called when the trunk takes more. */
  send(id: number, message: Buffer, written: (error?: Error) => void): void {
    if (this.#trunk.destroyed) {
      written(unavailable("Cannot write to a plugin: want an open connection, got none"));
      return;
    }
    const parts = [message.subarray(0, FIRST_FRAME_BYTES_MAX), message.subarray(FIRST_FRAME_BYTES_MAX)];
    const frames = parts
      .filter(({ length }) => length > 0)
      .flatMap((part) => [headerOf(id, part.length), part]);
    this.#trunk.write(Buffer.concat(frames), (error) => written(error ?? undefined));
  }

  resume(): void {
    if ([...this.#channels.values()].every(({ isFull }) => !isFull)) this.#trunk.resume();
  }

  #receive(chunk: Buffer): void {
    let rest = chunk;
    while (rest.length > 0) {
      if (this.#left === 0) {
        rest = this.#takeHeader(rest);
        continue;
      }
      const part = rest.subarray(0, this.#left);
      rest = rest.subarray(part.length);
      this.#left -= part.length;
      // Connections that nobody opened are read past.
      if (this.#target !== undefined && !this.#target.deliver(part)) this.#trunk.pause();
    }
  }

  #takeHeader(bytes: Buffer): Buffer {
    const needed = HEADER_BYTES - this.#header.length;
    this.#header = Buffer.concat([this.#header, bytes.subarray(0, needed)]);
    if (this.#header.length < HEADER_BYTES) return bytes.subarray(bytes.length);
    const length = this.#header.readUInt32BE(4);
    this.#target = this.#channels.get(this.#header.readUInt32BE(0));
    this.#header = Buffer.alloc(0);
    this.#left = length;
    if (length > PAYLOAD_BYTES_MAX) {
      this.close();
      return bytes.subarray(bytes.length);
    }
    return bytes.subarray(needed);
  }
}

function headerOf(id: number, length: number): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32BE(id, 0);
  header.writeUInt32BE(length, 4);
  return header;
}

/** One of the streams. Each write is one ttrpc message. */
class MuxChannel extends Duplex {
  isFull = false;
  readonly #mux: Mux;
  readonly #id: number;

  constructor(mux: Mux, id: number) {
    super();
    this.#mux = mux;
    this.#id = id;
  }

  /** False: no more until it was read. */
  deliver(bytes: Buffer): boolean {
    if (this.destroyed) return true;
    this.isFull = !this.push(bytes);
    return !this.isFull;
  }

  override _read(): void {
    if (!this.isFull) return;
    this.isFull = false;
    this.#mux.resume();
  }

  override _write(message: Buffer, _encoding: string, written: (error?: Error | null) => void): void {
    this.#mux.send(this.#id, message, written);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#mux.close();
    done(error);
  }
}
