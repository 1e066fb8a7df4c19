import { type Digest, sha256 } from "../bytes/index.js";
import { failedPrecondition, type LazuliError } from "../errors/index.js";
import type { NativeBinding } from "../fuse/index.js";
import { encryptionAnnotations } from "../ocicrypt/index.js";
import type { StreamProcessor } from "../processors/index.js";
import type { BlobSource } from "../registry/index.js";
import type { CompiledIndex } from "./compile-index.js";
import type { Compilers } from "./compile-layer.js";
import type { LayerFormat, LayerRequest, WholeBlob } from "./contract.js";
import { createLayerFolder, type NewLayerFiles } from "./layer-folder.js";
import type { LayerRecord } from "./layer-record.js";
import type { Processing } from "./process-blob.js";
import { pullWhole } from "./pull-whole.js";
import { type ReadIndex, readIndex } from "./read-index.js";

export interface MakeLayerOptions {
  readonly root: string;
  readonly request: LayerRequest;
  readonly source: BlobSource;
  readonly compilers: Compilers;
  readonly processors: readonly StreamProcessor[];
  readonly binding: Pick<NativeBinding, "decompressFrame" | "StreamIndexer">;
  /** Called once, when the layer is going to be written. */
  readonly takeNumber: () => number;
  /** The source is not needed any more; not called for a layer that is fetched whole. */
  readonly onIndexRead: () => void;
  readonly signal: AbortSignal;
}

export interface MadeLayer {
  /** Compressed bytes that it has cost. */
  readonly fetchedBytes: number;
  /** All units were written and checked just now; where `isSynced` is not set the bitmap does not have them yet. */
  readonly isWhole: boolean;
  readonly isSynced: boolean;
}

/**
 * Makes a layer's folder from what its request knows of it, durably but for the data of a layer that is fetched whole
 * and can be fetched again by units.
 * @throws FAILED_PRECONDITION when there is no way in; as the formats and the source
 */
export async function makeLayer(options: MakeLayerOptions): Promise<MadeLayer> {
  const { request, source, binding, signal } = options;
  const { index } = request;
  if (index === undefined) throw noIndex(request.digest);
  if (index.kind === "whole") return await makeWholeLayer(options, index);
  const read = await readIndex({
    source,
    index,
    decompress: async (frame, maxSize) => await binding.decompressFrame(frame, maxSize),
    signal,
  });
  if (read !== undefined) return await makeLazyLayer(options, read);
  if (index.kind !== "soci" && index.kind !== "fine") throw noIndex(request.digest);
  const { otherwise } = index;
  if (otherwise?.kind === "soci")
    return await makeLayer({ ...options, request: { ...request, index: otherwise } });
  if (index.isSmall === true) throw layerSmall(request.digest);
  if (otherwise === undefined) throw noIndex(request.digest);
  return await makeWholeLayer(options, otherwise);
}

async function makeLazyLayer(options: MakeLayerOptions, read: ReadIndex): Promise<MadeLayer> {
  const { root, request, compilers, onIndexRead, signal } = options;
  const { digest } = request;
  onIndexRead();
  const compiled = await compilers.compile({ input: read.input, subject: digest, signal });
  signal.throwIfAborted();
  const { index } = request;
  const diffId = index?.kind === "soci" || index?.kind === "fine" ? index.diffId : undefined;
  const files = newFiles(options, { ...read, diffId, compiled, data: "nothing" });
  await createLayerFolder({ root, digest, make: async () => files });
  return { fetchedBytes: read.fetchedBytes, isWhole: false, isSynced: true };
}

async function makeWholeLayer(options: MakeLayerOptions, whole: WholeBlob): Promise<MadeLayer> {
  const { root, request, source, compilers, binding, signal } = options;
  const { digest, mediaType } = request;
  // What processors give may need a key that is gone by then: such a layer is fetched again only as a last resort.
  const isSynced = whole.processing !== undefined;
  await createLayerFolder({
    root,
    digest,
    make: async ({ data: dataPath }) => {
      const { diffId } = whole;
      const processing = processingOf(options, whole);
      const pulled = await pullWhole({
        ...{ binding, source, mediaType, processing, diffId, dataPath, signal },
        syncs: isSynced,
      });
      const compiled = await compilers.compile({ input: pulled.input, subject: digest, signal });
      const { codec } = pulled.input;
      const { units } = compiled;
      const format = codec === "raw" ? "tar" : codec;
      return newFiles(options, {
        format,
        indexDigest: pulled.diffId,
        diffId: undefined,
        blobSize: units.blobSize,
        isDecoded: codec === "zstd" && units.count > 0 && units.codec(0) === "raw",
        processing: processing === undefined ? undefined : { annotations: processing.annotations },
        compiled,
        data: isSynced ? "synced" : "written",
      });
    },
  });
  return { fetchedBytes: source.size, isWhole: true, isSynced };
}

function processingOf(
  { request, processors }: MakeLayerOptions,
  { processing }: WholeBlob,
): Processing | undefined {
  if (processing === undefined) return undefined;
  const annotations = encryptionAnnotations(processing.annotations);
  return { processors, mediaType: request.mediaType, annotations };
}

function newFiles(
  { request, source, takeNumber }: MakeLayerOptions,
  made: {
    readonly format: LayerFormat;
    readonly indexDigest: Digest;
    readonly diffId: Digest | undefined;
    readonly blobSize?: number;
    readonly isDecoded?: boolean;
    readonly processing?: LayerRecord["processing"];
    readonly compiled: CompiledIndex;
    readonly table?: Uint8Array | undefined;
    readonly data: NewLayerFiles["data"];
  },
): NewLayerFiles {
  const { format, indexDigest, diffId, blobSize = source.size, isDecoded = false, data } = made;
  const { units, windows, meta, prefetch, rootOwner } = made.compiled;
  return {
    record: {
      number: takeNumber(),
      digest: request.digest,
      format,
      mediaType: request.mediaType,
      indexDigest,
      diffId,
      blobSize,
      isDecoded,
      processing: made.processing,
      // Of a layer that is decoded or processed no other file tells it.
      origin: { ...request.origin, size: source.size },
      prefetch,
      rootOwner,
      metaSha256: sha256(meta),
    },
    units,
    windows,
    table: made.table,
    meta,
    data,
  };
}

/** Why a layer without an index is not fetched whole. */
export function layerSmall(digest: Digest): LazuliError {
  return failedPrecondition(
    `Left layer ${digest} to the client: it has no index, and fewer bytes than [layer] pull_whole_min`,
    {
      subject: digest,
      reason: "layer-small",
      hint: "Nothing is lost: fetching it takes as long as an index would. A lower pull_whole_min takes it in",
    },
  );
}

function noIndex(digest: Digest): Error {
  return failedPrecondition(`Cannot mount layer ${digest} lazily: nothing tells where its files are`, {
    subject: digest,
    reason: "no-index",
    hint: "Convert the image to eStargz, or give it a SOCI index",
  });
}
