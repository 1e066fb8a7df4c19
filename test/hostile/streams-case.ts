import type { StreamIndexerOptions, StreamReason } from "../../src/fuse/index.js";

/**
 * One malicious, broken or odd stream. With `data` it must decode to just that; with a `reason` it must be refused so.
 * The format's own program (gunzip of Node, zstd) must say the same, unless `otherwise` says why it does not.
 */
export interface StreamCase {
  readonly name: string;
  readonly codec: StreamIndexerOptions["codec"];
  readonly blob: Buffer;
  readonly data?: Buffer;
  readonly reason?: StreamReason;
  /** More decoded bytes are refused. */
  readonly dataSizeMax?: number;
  readonly otherwise?: string;
}

type Extra = Pick<StreamCase, "dataSizeMax" | "otherwise">;

/** Makers of the cases of one codec. */
export function casesOf(codec: StreamCase["codec"]) {
  return {
    taken: (name: string, blob: Buffer, data: Buffer, extra: Extra = {}): StreamCase => ({
      name,
      codec,
      blob,
      data,
      ...extra,
    }),
    refused: (name: string, reason: StreamReason, blob: Buffer, extra: Extra = {}): StreamCase => ({
      name,
      codec,
      blob,
      reason,
      ...extra,
    }),
  };
}

/** A copy with the bytes at a place exchanged; a negative place counts from the end. */
export function patched(bytes: Buffer, at: number, ...values: readonly number[]): Buffer {
  const copy = Buffer.from(bytes);
  copy.set(values, at < 0 ? copy.length + at : at);
  return copy;
}

/** Bytes that follow each other; numbers are bytes. */
export function joined(...parts: readonly (Buffer | number | string)[]): Buffer {
  return Buffer.concat(
    parts.map((part) => (typeof part === "number" ? Buffer.of(part) : Buffer.from(part as string))),
  );
}

/** So many times the same. */
export function repeated(bytes: Buffer, times: number): Buffer {
  return Buffer.concat(new Array<Buffer>(times).fill(bytes));
}
