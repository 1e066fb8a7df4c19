import { open } from "node:fs/promises";
import { type Digest, parseDigest } from "../bytes/index.js";
import { dataLoss, invalidArgument, LazuliError, resourceExhausted } from "../errors/index.js";
import type { NativeBinding, NativeStreamIndexer } from "../fuse/index.js";
import { layerType } from "../oci/index.js";
import { chainProcessors } from "../processors/index.js";
import type { BlobSource } from "../registry/index.js";
import type { WholeInput } from "./compile-input.js";
import { fetchedChannel } from "./events.js";
import { DATA_FILE_BLOCK } from "./layer-folder.js";
import { WHOLE_DATA_BYTES_MAX, WHOLE_REQUEST_BYTES, WHOLE_REQUESTS_MAX, WHOLE_SPAN_BYTES } from "./limits.js";
import { blobMismatch, type Processing, processBlob } from "./process-blob.js";
import { readWholeBlob } from "./read-blob.js";

export interface PullWholeOptions {
  readonly binding: Pick<NativeBinding, "StreamIndexer">;
  readonly source: BlobSource;
  readonly mediaType: string;
  /** undefined: the blob is a layer as it is. */
  readonly processing: Processing | undefined;
  /** undefined: nobody knows it. */
  readonly diffId: Digest | undefined;
  /** Where the uncompressed archive goes. */
  readonly dataPath: string;
  /** Whether the file is synced when it returns. */
  readonly syncs: boolean;
  readonly signal: AbortSignal;
}

export interface PulledWhole {
  readonly input: WholeInput;
  readonly diffId: Digest;
}

/**
 * Fetches a whole blob over several requests, and in the same pass writes what it decodes to, checks its digest and its
 * diffID, and learns where decoding may begin later.
 *
 * @throws DATA_LOSS `blob-digest-mismatch`, `diff-id-mismatch`; INVALID_ARGUMENT `stream-*`, `layer-empty`; RESOURCE_EXHAUSTED
 * `stream-too-large`; as the source and the processors
 */
export async function pullWhole(options: PullWholeOptions): Promise<PulledWhole> {
  const { binding, source, dataPath, processing } = options;
  if (source.size === 0) throw noBytes(source);
  const codec = codecOf(decodableType(options));
  const data = await open(dataPath, "wx", 0o600);
  try {
    const indexer = new binding.StreamIndexer({
      codec,
      dataFd: data.fd,
      spanSizeBytes: WHOLE_SPAN_BYTES,
      keepWindows: codec === "gzip",
      dataSizeMax: WHOLE_DATA_BYTES_MAX,
    });
    try {
      const indexed = await fed(indexer, options);
      const { blobSha256, blobSize, dataSha256, dataSize, spans, windows, tarHeaders } = indexed;
      const diffId = digestOf(dataSha256);
      // What processors are given was compared on the way to them; what they make has no digest of its own.
      if (processing === undefined) checkBlob(source, digestOf(blobSha256));
      checkDiffId(options, diffId);
      // As makeDataFile() has it: the last block of a device is never short.
      await data.truncate(Math.ceil(dataSize / DATA_FILE_BLOCK) * DATA_FILE_BLOCK);
      if (options.syncs) await data.sync();
      const input = {
        format: "whole",
        codec,
        dataPath,
        dataSize,
        blobSize,
        spans: forThread(spans),
        windows: forThread(windows),
        tarHeaders: forThread(tarHeaders),
      } as const;
      return { input, diffId };
    } finally {
      await indexer.close();
    }
  } finally {
    await data.close();
  }
}

/** The addon's empty buffer has no memory that could go to another thread. */
function forThread(bytes: Uint8Array): Uint8Array {
  return bytes.length === 0 ? new Uint8Array(0) : bytes;
}

/** The media type of the bytes that are decoded. */
function decodableType({ processing, mediaType }: PullWholeOptions): string {
  return processing === undefined ? mediaType : chainProcessors(processing.processors, mediaType).mediaType;
}

async function fed(indexer: NativeStreamIndexer, options: PullWholeOptions) {
  const { source } = options;
  try {
    for await (const piece of piecesOf(options)) await indexer.push(piece);
    return await indexer.end();
  } catch (thrown) {
    throw streamFailure(thrown, source);
  }
}

async function* piecesOf({ source, processing, signal }: PullWholeOptions): AsyncGenerator<Buffer> {
  const onFetched = (bytes: number): void =>
    fetchedChannel.publish({ digest: source.digest, priority: "whole", bytes });
  if (processing !== undefined) {
    yield* processBlob({ source, processing, onFetched, signal });
    return;
  }
  const pieces = readWholeBlob({
    source,
    requestBytes: WHOLE_REQUEST_BYTES,
    requestsMax: WHOLE_REQUESTS_MAX,
    signal,
  });
  for await (const piece of pieces) {
    onFetched(piece.length);
    yield piece;
  }
}

/** Neither a file system nor a record can be of nothing. */
function noBytes({ digest }: BlobSource): Error {
  return invalidArgument(`Cannot make a layer of ${digest}: it has no bytes`, {
    subject: digest,
    reason: "layer-empty",
  });
}

/** What the native indexer refuses; everything else as it is. */
function streamFailure(thrown: unknown, { digest }: BlobSource): unknown {
  const { code, reason, message } = thrown as { code?: string; reason?: string; message?: string };
  if (thrown instanceof LazuliError || code !== "ERR_STREAM" || reason === undefined) return thrown;
  const make = reason === "stream-too-large" ? resourceExhausted : invalidArgument;
  return make(`Cannot decode layer ${digest}: ${message}`, { subject: digest, reason });
}

function checkBlob(source: BlobSource, actual: Digest): void {
  if (actual !== source.digest) throw blobMismatch(source, actual);
}

function checkDiffId({ source, diffId: wanted }: PullWholeOptions, actual: Digest): void {
  if (wanted === undefined || actual === wanted) return;
  throw dataLoss(`Cannot use layer ${source.digest}: want the diffID ${wanted}, got ${actual}`, {
    subject: source.digest,
    reason: "diff-id-mismatch",
    hint: "The image's config and its layer disagree: the image has to be built again",
  });
}

function codecOf(mediaType: string): WholeInput["codec"] {
  const compression = layerType(mediaType)?.compression;
  if (compression === undefined) {
    throw invalidArgument(`Cannot decode a layer: its media type is ${JSON.stringify(mediaType)}`, {
      reason: "media-type-unknown",
    });
  }
  return compression === "none" ? "raw" : compression;
}

function digestOf(sha256: Buffer): Digest {
  return parseDigest(`sha256:${sha256.toString("hex")}`);
}
