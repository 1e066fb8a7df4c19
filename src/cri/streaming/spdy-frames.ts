import { invalidArgument } from "../../errors/index.js";

/** Types of control frames (SPDY protocol, draft 3.1, section 2.6). */
export const frameTypes = {
  synStream: 1,
  synReply: 2,
  rstStream: 3,
  settings: 4,
  ping: 6,
  goAway: 7,
  headers: 8,
  windowUpdate: 9,
} as const;

export type Frame =
  | { readonly kind: "data"; readonly stream: number; readonly isLast: boolean; readonly bytes: Buffer }
  | { readonly kind: "control"; readonly type: number; readonly flags: number; readonly bytes: Buffer };

const VERSION = 3;
const HEADER_BYTES = 8;
export const FLAG_FIN = 1;
/** Longest frame that is taken. Clients send data in pieces of 32 KiB. */
const FRAME_BYTES_MAX = 1024 * 1024;
/** Longest frame of data that is sent: 24 bits would do, but a reader takes it whole. */
export const DATA_BYTES_MAX = 32 * 1024;

/** Cuts what comes into frames. */
export class FrameReader {
  #kept: Buffer = Buffer.alloc(0);

  /** @throws INVALID_ARGUMENT for another version or a frame that is too long; the connection is of no use then */
  push(bytes: Buffer): Frame[] {
    this.#kept = this.#kept.length === 0 ? bytes : Buffer.concat([this.#kept, bytes]);
    const frames: Frame[] = [];
    let offset = 0;
    while (this.#kept.length - offset >= HEADER_BYTES) {
      const length = this.#kept.readUIntBE(offset + 5, 3);
      if (length > FRAME_BYTES_MAX) throw frameRefused(`a frame of at most ${FRAME_BYTES_MAX} bytes`, length);
      if (this.#kept.length - offset < HEADER_BYTES + length) break;
      frames.push(frameAt(this.#kept, offset, length));
      offset += HEADER_BYTES + length;
    }
    this.#kept = this.#kept.subarray(offset);
    return frames;
  }
}

function frameAt(bytes: Buffer, offset: number, length: number): Frame {
  const first = bytes.readUInt32BE(offset);
  const flags = bytes.readUInt8(offset + 4);
  const content = bytes.subarray(offset + HEADER_BYTES, offset + HEADER_BYTES + length);
  if (first < 0x80000000) {
    return { kind: "data", stream: first, isLast: (flags & FLAG_FIN) !== 0, bytes: content };
  }
  const version = (first >>> 16) & 0x7fff;
  if (version !== VERSION) throw frameRefused("SPDY of version 3", version);
  return { kind: "control", type: first & 0xffff, flags, bytes: content };
}

export function controlFrame(type: number, flags: number, content: Uint8Array): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt16BE(0x8000 | VERSION);
  header.writeUInt16BE(type, 2);
  header.writeUInt8(flags, 4);
  header.writeUIntBE(content.length, 5, 3);
  return Buffer.concat([header, content]);
}

export function dataFrame(stream: number, bytes: Uint8Array, isLast: boolean): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32BE(stream);
  header.writeUInt8(isLast ? FLAG_FIN : 0, 4);
  header.writeUIntBE(bytes.length, 5, 3);
  return Buffer.concat([header, bytes]);
}

export function frameRefused(wanted: string, got: unknown): Error {
  return invalidArgument(`Cannot read from a SPDY client: want ${wanted}, got ${String(got)}`, {
    reason: "spdy-frame-invalid",
  });
}
