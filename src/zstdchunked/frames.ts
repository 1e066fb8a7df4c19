import { refuseBlob } from "./refusal.js";

/** Magic and length: what stands before the content of a skippable frame (RFC 8878 §3.1.2). */
export const SKIPPABLE_HEADER_BYTES = 8;

/** The one of the 16 magics that all writers of zstd:chunked take; only it is read. */
const SKIPPABLE_MAGIC = 0x184d2a50;

/** A piece of the blob that is one zstd frame inside a skippable one. */
export interface FramePlace {
  /** Of the zstd frame; the skippable frame's header stands before it. */
  readonly offset: number;
  readonly compressedSize: number;
  /** Decoded bytes. */
  readonly size: number;
}

export function skippableFrame(content: Buffer): Buffer {
  return Buffer.concat([skippableHeader(content.length), content]);
}

function skippableHeader(length: number): Buffer {
  const header = Buffer.alloc(SKIPPABLE_HEADER_BYTES);
  header.writeUInt32LE(SKIPPABLE_MAGIC, 0);
  header.writeUInt32LE(length, 4);
  return header;
}

/** Whether these bytes begin with the header of a skippable frame of this length. */
export function isSkippableHeader(bytes: Buffer, length: number): boolean {
  return (
    bytes.length >= SKIPPABLE_HEADER_BYTES &&
    bytes.readUInt32LE(0) === SKIPPABLE_MAGIC &&
    bytes.readUInt32LE(4) === length
  );
}

/** What an unpacker skips must be what we read: else the two would see different layers. */
export function requireSkippable(bytes: Buffer, place: FramePlace): void {
  if (!isSkippableHeader(bytes, place.compressedSize)) {
    throw refuseBlob(
      "frame-malformed",
      `no skippable frame of ${place.compressedSize} bytes stands at ${place.offset - SKIPPABLE_HEADER_BYTES}`,
    );
  }
}
