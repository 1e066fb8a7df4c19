import { createHash } from "node:crypto";
import { linkSignals } from "../async/index.js";
import { digestAlgorithm } from "../bytes/index.js";
import { dataLoss } from "../errors/index.js";
import { chainProcessors, type StreamProcessor } from "../processors/index.js";
import type { BlobSource } from "../registry/index.js";
import { WHOLE_REQUEST_BYTES, WHOLE_REQUESTS_MAX } from "./limits.js";
import { readWholeBlob } from "./read-blob.js";

/** How a layer's blob becomes a layer that can be decoded. */
export interface Processing {
  readonly processors: readonly StreamProcessor[];
  /** Of the blob. */
  readonly mediaType: string;
  /** Of its descriptor, as far as processors need them. */
  readonly annotations: Readonly<Record<string, string>>;
}

export interface ProcessBlobOptions {
  readonly source: BlobSource;
  readonly processing: Processing;
  /** Called for what comes from the source. */
  readonly onFetched: (bytes: number) => void;
  readonly signal: AbortSignal;
}

/**
 * A whole blob, fetched over several requests and given to its processors. The blob's digest is compared before the first
 * processor learns that the blob has ended: bytes that came wrong are told from a layer that is wrong.
 *
 * @throws DATA_LOSS `blob-digest-mismatch`; FAILED_PRECONDITION `stream-processor-missing`; as processors and source
 */
export async function* processBlob(options: ProcessBlobOptions): AsyncGenerator<Buffer> {
  const { source, processing } = options;
  const { digest, size } = source;
  const chain = chainProcessors(processing.processors, processing.mediaType);
  using reading = linkSignals([options.signal]);
  const { signal } = reading;
  const bytes = readChecked({ ...options, signal });
  try {
    yield* chain.run({ digest, size, annotations: processing.annotations, bytes, signal });
  } finally {
    // A processor that was left may still wait for bytes.
    reading.abort(new DOMException("Nobody reads the rest of the blob", "AbortError"));
  }
}

async function* readChecked({ source, onFetched, signal }: ProcessBlobOptions): AsyncGenerator<Buffer> {
  const hash = createHash(digestAlgorithm(source.digest));
  const pieces = readWholeBlob({
    source,
    requestBytes: WHOLE_REQUEST_BYTES,
    requestsMax: WHOLE_REQUESTS_MAX,
    signal,
  });
  for await (const piece of pieces) {
    hash.update(piece);
    onFetched(piece.length);
    yield piece;
  }
  const actual = `${digestAlgorithm(source.digest)}:${hash.digest("hex")}`;
  if (actual !== source.digest) throw blobMismatch(source, actual);
}

/** Takes note that a whole blob came wrong. @returns DATA_LOSS `blob-digest-mismatch` */
export function blobMismatch(source: BlobSource, actual: string): Error {
  source.distrust({ offset: 0, length: source.size });
  return dataLoss(`Cannot use ${source.description}: want the digest ${source.digest}, got ${actual}`, {
    subject: source.digest,
    reason: "blob-digest-mismatch",
  });
}
