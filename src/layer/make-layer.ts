import { sha256 } from "../bytes/index.js";
import { failedPrecondition } from "../errors/index.js";
import type { BlobSource } from "../registry/index.js";
import type { DecompressFrame } from "../zstdchunked/index.js";
import type { Compilers } from "./compile-layer.js";
import type { LayerIndexSource, LayerRequest } from "./contract.js";
import { createLayerFolder } from "./layer-folder.js";
import type { LayerRecord } from "./layer-record.js";
import { readIndex } from "./read-index.js";

export interface MakeLayerOptions {
  readonly root: string;
  readonly request: LayerRequest;
  readonly source: BlobSource;
  readonly compilers: Compilers;
  readonly decompress: DecompressFrame;
  /** Called once, when the layer is going to be written. */
  readonly takeNumber: () => number;
  readonly signal: AbortSignal;
}

/**
 * Makes a layer's folder from what its request knows of it, durably. @returns the compressed bytes that it has cost
 * @throws FAILED_PRECONDITION when there is no way in; as the formats and the source
 */
export async function makeLayer(options: MakeLayerOptions): Promise<number> {
  const { request } = options;
  const { index } = request;
  if (index === undefined) {
    throw failedPrecondition(
      `Cannot mount layer ${request.digest} lazily: nothing tells where its files are`,
      {
        subject: request.digest,
        reason: "no-index",
        hint: "Convert the image to eStargz, or give it a SOCI index",
      },
    );
  }
  return await makeLazyLayer(options, index);
}

async function makeLazyLayer(options: MakeLayerOptions, index: LayerIndexSource): Promise<number> {
  const { root, request, source, compilers, decompress, signal } = options;
  const read = await readIndex({ source, index, decompress, signal });
  const { units, meta, prefetch, rootOwner } = await compilers.compile({
    input: read.input,
    subject: request.digest,
    signal,
  });
  signal.throwIfAborted();
  const record: LayerRecord = {
    number: options.takeNumber(),
    digest: request.digest,
    format: read.format,
    mediaType: request.mediaType,
    indexDigest: read.indexDigest,
    blobSize: source.size,
    origin: request.origin,
    prefetch,
    rootOwner,
    metaSha256: sha256(meta),
  };
  await createLayerFolder({
    root,
    digest: request.digest,
    make: async () => ({ record, units, meta, isComplete: false }),
  });
  return read.fetchedBytes;
}
