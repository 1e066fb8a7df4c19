import { createHash } from "node:crypto";
import type { Digest } from "../bytes/index.js";
import { mediaTypes } from "../oci/index.js";
import type { LayerOptions } from "./layer-options.js";
import { LayerWriter } from "./layer-writer.js";
import type { PackPool } from "./pack-pool.js";
import { prioritizedPieces } from "./prioritized-pieces.js";
import { blobCodec, indexTar, type MakeIndexer, type ReadLayerOptions, streamTar } from "./read-layer.js";
import { ScratchFile } from "./scratch-file.js";
import { StreamCutter } from "./stream-cutter.js";
import { type FeedMode, landmarks, TarFeed } from "./tar-feed.js";
import { type TarPiece, tarPieces } from "./tar-pieces.js";

export interface ConvertLayerOptions extends ReadLayerOptions {
  readonly options: LayerOptions;
  readonly pool: PackPool;
  /** Where files without a name may lie. */
  readonly scratchFolder: string;
  readonly onWritten?: ((bytes: number) => void) | undefined;
  readonly makeIndexer: MakeIndexer;
}

/** A converted layer, in a file that the caller closes. */
export interface ConvertedLayer {
  readonly file: ScratchFile;
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
  readonly diffId: Digest;
  readonly annotations: Readonly<Record<string, string>>;
  readonly tocBlob: Buffer | undefined;
}

/** What a layer may decode to: the largest file of ext4. */
const TAR_BYTES_MAX = 16 * 1024 ** 4;
/** Checkpoints are not wanted here; few of them cost nothing. */
const SPAN_BYTES = 64 * 1024 * 1024;

/**
 * Reads a layer once and writes it in another format. Memory is bounded by the threads of the pool; the bytes are the
 * same however many they are.
 * @throws as streamTar(), TarReader and TocWriter; FAILED_PRECONDITION as TarFeed
 */
export async function convertLayer(options: ConvertLayerOptions): Promise<ConvertedLayer> {
  const file = await ScratchFile.make(options.scratchFolder);
  try {
    return options.options.format === "uncompressed"
      ? await unpack(options, file)
      : await repack(options, file);
  } catch (thrown) {
    await file[Symbol.asyncDispose]();
    throw thrown;
  }
}

async function unpack(options: ConvertLayerOptions, file: ScratchFile): Promise<ConvertedLayer> {
  const { diffId, onWritten } = options;
  const hash = createHash("sha256");
  for await (const chunk of tarOf(options)) {
    hash.update(chunk);
    await file.append(chunk);
    onWritten?.(file.size);
  }
  const digest = `sha256:${hash.digest("hex")}` as Digest;
  const { size } = file;
  return { file, mediaType: mediaTypes.ociLayer, digest, size, diffId, annotations: {}, tocBlob: undefined };
}

async function repack(options: ConvertLayerOptions, file: ScratchFile): Promise<ConvertedLayer> {
  const layer = options.options;
  const mode = feedMode(layer);
  const writer = new LayerWriter({ options: layer, pool: options.pool, file });
  const isContainers = layer.dialect === "containers";
  const cutter = new StreamCutter({ ...layer, cutsBehindContent: isContainers, cutsZeros: isContainers });
  const feed = new TarFeed({ cutter, tarSplit: writer.tarSplit, mode });
  for await (const piece of piecesOf(options, mode)) {
    feed.push(piece);
    for (const batch of cutter.takeBatches()) await writer.add(batch);
    options.onWritten?.(file.size);
  }
  feed.end({ endsTar: layer.format === "zstdchunked" });
  for (const batch of cutter.takeBatches()) await writer.add(batch);
  const written = await writer.finish(feed.size);
  const diffId = feed.diffId(written.tarTail);
  const { digest, size, annotations, tocBlob } = written;
  const mediaType = layer.format === "estargz" ? mediaTypes.ociLayerGzip : mediaTypes.ociLayerZstd;
  options.onWritten?.(size);
  return { file, mediaType, digest, size, diffId, annotations, tocBlob };
}

function feedMode(layer: LayerOptions): FeedMode {
  if (layer.isTocExternal) return "exact";
  return layer.format === "zstdchunked" && layer.prioritized.length === 0 ? "faithful" : "rebuilt";
}

async function* piecesOf(
  options: ConvertLayerOptions,
  mode: FeedMode,
): AsyncGenerator<TarPiece, void, undefined> {
  const { prioritized } = options.options;
  if (prioritized.length > 0) {
    await using tar = await ScratchFile.make(options.scratchFolder);
    for await (const chunk of tarOf(options)) await tar.append(chunk);
    yield* prioritizedPieces({ tar, tarSize: tar.size, prioritized, signal: options.signal });
    return;
  }
  if (mode === "rebuilt") yield { kind: "landmark", name: landmarks.noPrefetch };
  yield* tarPieces(tarOf(options));
}

/** The tar as a stream; one of zstd lies in a file before its first byte comes. */
async function* tarOf(options: ConvertLayerOptions): AsyncGenerator<Buffer, void, undefined> {
  const codec = await blobCodec(options);
  if (codec !== "zstd") {
    yield* streamTar({ ...options, codec });
    return;
  }
  await using tar = await ScratchFile.make(options.scratchFolder);
  const indexer = options.makeIndexer({
    codec,
    dataFd: tar.fd,
    spanSizeBytes: SPAN_BYTES,
    keepWindows: false,
    dataSizeMax: TAR_BYTES_MAX,
  });
  const { dataSize } = await indexTar({ ...options, indexer });
  yield* tar.pieces(0, dataSize);
}
