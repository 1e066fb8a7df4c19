import { resourceExhausted } from "../errors/index.js";

/** Length, stream id (both big endian), type, flags (ttrpc PROTOCOL.md). */
const HEADER_BYTES = 10;
/** ttrpc's limit for the body of a frame in either direction. */
export const BODY_BYTES_MAX = 4 * 1024 * 1024;
/** Stream ids are u32. */
export const STREAM_ID_MAX = 0xffff_ffff;

export const frameTypes = { request: 1, response: 2, data: 3 } as const;
/** Bits of a request's flags that make it the start of a stream instead of a unary call. */
export const STREAMING_FLAGS = 0x03;

export interface Frame {
  readonly streamId: number;
  readonly type: number;
  readonly flags: number;
  /** Undefined: it was longer than BODY_BYTES_MAX and was skipped. */
  readonly body: Uint8Array | undefined;
}

/** @throws RESOURCE_EXHAUSTED for a body above 4 MiB */
export function encodeFrame(frame: { streamId: number; type: number; body: Uint8Array }): Buffer {
  const { streamId, type, body } = frame;
  if (body.length > BODY_BYTES_MAX) {
    throw resourceExhausted(
      `Cannot send a message: want at most ${BODY_BYTES_MAX} bytes, got ${body.length}`,
      { reason: "ttrpc-message-too-long" },
    );
  }
  const bytes = Buffer.allocUnsafe(HEADER_BYTES + body.length);
  bytes.writeUInt32BE(body.length, 0);
  bytes.writeUInt32BE(streamId, 4);
  bytes.writeUInt8(type, 8);
  bytes.writeUInt8(0, 9);
  bytes.set(body, HEADER_BYTES);
  return bytes;
}

/**
 * Cuts a stream of bytes into frames. Only bytes that came are kept, so a claimed length allocates nothing; the body
 * of a frame that is too long is dropped as it comes.
 */
export class FrameReader {
  /** What came and is no whole frame yet: bytes from #start to #end. */
  #bytes: Buffer = Buffer.alloc(0);
  #start = 0;
  #end = 0;
  /** Of a body that is too long: bytes still to drop. */
  #toDrop = 0;

  /** Takes bytes in and yields the frames that are whole now. */
  *push(chunk: Buffer): Generator<Frame> {
    const dropped = Math.min(this.#toDrop, chunk.length);
    this.#toDrop -= dropped;
    this.#append(chunk.subarray(dropped));
    while (this.#end - this.#start >= HEADER_BYTES) {
      const length = this.#bytes.readUInt32BE(this.#start);
      const streamId = this.#bytes.readUInt32BE(this.#start + 4);
      const type = this.#bytes.readUInt8(this.#start + 8);
      const flags = this.#bytes.readUInt8(this.#start + 9);
      const bodyStart = this.#start + HEADER_BYTES;
      const held = this.#end - bodyStart;
      if (length > BODY_BYTES_MAX) {
        this.#start = bodyStart + Math.min(held, length);
        this.#toDrop = length - Math.min(held, length);
        yield { streamId, type, flags, body: undefined };
        continue;
      }
      if (held < length) return;
      this.#start = bodyStart + length;
      // A copy: the bytes here are overwritten by what comes next.
      yield {
        streamId,
        type,
        flags,
        body: Uint8Array.prototype.slice.call(this.#bytes, bodyStart, this.#start),
      };
    }
  }

  #append(chunk: Buffer): void {
    const held = this.#end - this.#start;
    if (this.#end + chunk.length > this.#bytes.length) {
      // Twice what is needed, so that a body of many small chunks is not copied for each of them.
      const grown = Buffer.allocUnsafe(2 * (held + chunk.length));
      this.#bytes.copy(grown, 0, this.#start, this.#end);
      this.#bytes = grown;
      this.#start = 0;
      this.#end = held;
    }
    chunk.copy(this.#bytes, this.#end);
    this.#end += chunk.length;
  }
}
