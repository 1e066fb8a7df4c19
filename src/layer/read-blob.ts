import { linkSignals } from "../async/index.js";
import { unavailable } from "../errors/index.js";
import type { BlobSource, RangeRequest } from "../registry/index.js";

/** One range of a blob in memory. The caller bounds its length. @throws UNAVAILABLE, as BlobSource.readRange() */
export async function readBlobRange(source: BlobSource, request: RangeRequest): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let received = 0;
  for await (const piece of source.readRange(request)) {
    pieces.push(piece);
    received += piece.length;
    if (received > request.length) break;
  }
  if (received !== request.length) {
    throw unavailable(`Cannot read ${source.description}: want ${request.length} bytes, got ${received}`, {
      subject: source.digest,
      reason: "source-length",
    });
  }
  return Buffer.concat(pieces, received);
}

export interface ReadWholeOptions {
  readonly source: BlobSource;
  /** Bytes of one request. */
  readonly requestBytes: number;
  /** Requests that run at once; what they bring early is held in memory. */
  readonly requestsMax: number;
  readonly signal: AbortSignal;
}

/** A whole blob in order, over several requests at once. */
export async function* readWholeBlob(options: ReadWholeOptions): AsyncIterable<Buffer> {
  const { source, requestBytes, requestsMax } = options;
  using link = linkSignals([options.signal]);
  const { signal } = link;
  const running: Promise<Buffer>[] = [];
  let next = 0;
  const start = (): void => {
    while (running.length < requestsMax && next < source.size) {
      const length = Math.min(requestBytes, source.size - next);
      const read = readBlobRange(source, { offset: next, length, signal });
      // Whoever comes to it sees the failure; until then it must not count as unhandled.
      read.catch(() => undefined);
      running.push(read);
      next += length;
    }
  };
  try {
    for (start(); running.length > 0; start()) yield await running.shift()!;
  } finally {
    link.abort(new DOMException("Nobody reads the rest of the blob", "AbortError"));
  }
}
