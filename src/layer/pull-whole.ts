import { open } from "node:fs/promises";
import { type Digest, parseDigest } from "../bytes/index.js";
import { dataLoss, invalidArgument, LazuliError, resourceExhausted } from "../errors/index.js";
import type { NativeBinding, NativeStreamIndexer } from "../fuse/index.js";
import { layerType } from "../oci/index.js";
import type { BlobSource } from "../registry/index.js";
import type { WholeInput } from "./compile-input.js";
import { fetchedChannel } from "./events.js";
import { DATA_FILE_BLOCK } from "./layer-folder.js";
import { WHOLE_DATA_BYTES_MAX, WHOLE_REQUEST_BYTES, WHOLE_REQUESTS_MAX, WHOLE_SPAN_BYTES } from "./limits.js";
import { readWholeBlob } from "./read-blob.js";

export interface PullWholeOptions {
  readonly binding: Pick<NativeBinding, "StreamIndexer">;
  readonly source: BlobSource;
  readonly mediaType: string;
  /** undefined: nobody knows it. */
  readonly diffId: Digest | undefined;
  /** Where the uncompressed archive goes. */
  readonly dataPath: string;
  readonly signal: AbortSignal;
}

export interface PulledWhole {
  readonly input: WholeInput;
  readonly diffId: Digest;
}

/**
 * Fetches a whole blob over several requests, and in the same pass writes what it decodes to, checks its digest and its
 * diffID, and learns where decoding may begin later. The file is synced when it returns.
 *
 * @throws DATA_LOSS `blob-digest-mismatch`, `diff-id-mismatch`; INVALID_ARGUMENT `stream-*`; RESOURCE_EXHAUSTED
 * `stream-too-large`; as the source
 */
export async function pullWhole(options: PullWholeOptions): Promise<PulledWhole> {
  const { binding, source, dataPath } = options;
  const codec = codecOf(options.mediaType);
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
      const { blobSha256, dataSha256, dataSize, spans, windows } = await fed(indexer, options);
      const diffId = digestOf(dataSha256);
      check(options, { blob: digestOf(blobSha256), diffId });
      // As makeDataFile() has it: the last block of a device is never short.
      await data.truncate(Math.ceil(dataSize / DATA_FILE_BLOCK) * DATA_FILE_BLOCK);
      await data.sync();
      const input = {
        format: "whole",
        codec,
        dataPath,
        dataSize,
        blobSize: source.size,
        spans,
        // The addon's empty buffer has no memory that could go to another thread.
        windows: windows.length === 0 ? new Uint8Array(0) : windows,
      } as const;
      return { input, diffId };
    } finally {
      await indexer.close();
    }
  } finally {
    await data.close();
  }
}

async function fed(indexer: NativeStreamIndexer, { source, signal }: PullWholeOptions) {
  const pieces = readWholeBlob({
    source,
    requestBytes: WHOLE_REQUEST_BYTES,
    requestsMax: WHOLE_REQUESTS_MAX,
    signal,
  });
  try {
    for await (const piece of pieces) {
      fetchedChannel.publish({ digest: source.digest, priority: "whole", bytes: piece.length });
      await indexer.push(piece);
    }
    return await indexer.end();
  } catch (thrown) {
    throw streamFailure(thrown, source);
  }
}

/** What the native indexer refuses; everything else as it is. */
function streamFailure(thrown: unknown, { digest }: BlobSource): unknown {
  const { code, reason, message } = thrown as { code?: string; reason?: string; message?: string };
  if (thrown instanceof LazuliError || code !== "ERR_STREAM" || reason === undefined) return thrown;
  const make = reason === "stream-too-large" ? resourceExhausted : invalidArgument;
  return make(`Cannot decode layer ${digest}: ${message}`, { subject: digest, reason });
}

function check(
  { source, diffId: wanted }: PullWholeOptions,
  got: { readonly blob: Digest; readonly diffId: Digest },
): void {
  if (got.blob !== source.digest) {
    source.distrust({ offset: 0, length: source.size });
    throw dataLoss(`Cannot use ${source.description}: want the digest ${source.digest}, got ${got.blob}`, {
      subject: source.digest,
      reason: "blob-digest-mismatch",
    });
  }
  if (wanted === undefined || got.diffId === wanted) return;
  throw dataLoss(`Cannot use layer ${source.digest}: want the diffID ${wanted}, got ${got.diffId}`, {
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
