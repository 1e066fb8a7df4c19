import pLimit from "p-limit";
import { digestAlgorithm, sha256 } from "../bytes/index.js";
import { failedPrecondition } from "../errors/index.js";
import {
  compileFine,
  encodeFineTable,
  FINE_FRAME_BYTES_MAX,
  FINE_LEAF_BYTES,
  FINE_SPAN_BYTES,
  type FineCodec,
  type FineSpan,
  windowContent,
  windowCrc,
} from "../fine/index.js";
import type { IndexedStream, NativeBinding } from "../fuse/index.js";
import { type IndexedSpan, readSpans, WINDOW_SIZE } from "../units/index.js";
import { blobCodec, indexTar, type MakeIndexer, type ReadLayerOptions } from "./read-layer.js";

export interface BuildFineOptions extends ReadLayerOptions {
  readonly makeIndexer: MakeIndexer;
  readonly compress: NativeBinding["compressFrame"];
  /** FINE_SPAN_BYTES and FINE_LEAF_BYTES unless given; the one is a multiple of the other. */
  readonly spanSizeBytes?: number;
  readonly leafSizeBytes?: number;
}

export interface BuiltFine {
  readonly table: Buffer;
  /** Empty: no span has a window. */
  readonly windows: Buffer;
}

/** The indexer takes no more spans with windows: half a gibibyte of them. */
const SPANS_MAX = 16_384;
/** Windows that are packed at once. */
const PACKS_AT_ONCE = 4;
/** Of windows and trees: 19 makes windows of a python image 1 % smaller, and takes five times as long. */
const LEVEL = 9;
const NO_WINDOW = { offset: 0, length: 0, crc: 0, sha256: Buffer.alloc(32) };

/**
 * Reads a layer once and writes our index of it; the same layer always has the same one. What it says is compiled as a
 * reader would, so that nobody gets an index that is refused.
 * @throws as indexTar(), compileFine(); FAILED_PRECONDITION `layer-empty`, `fine-frame-too-long`, `fine-digest`
 */
export async function buildFine(options: BuildFineOptions): Promise<BuiltFine> {
  const { blob, makeIndexer, compress } = options;
  const { spanSizeBytes = FINE_SPAN_BYTES, leafSizeBytes = FINE_LEAF_BYTES } = options;
  if (digestAlgorithm(blob.digest) !== "sha256") throw refuse("fine-digest", "its digest is none of sha256");
  const codec = await blobCodec(options);
  const indexer = makeIndexer({
    codec,
    dataFd: undefined,
    spanSizeBytes,
    keepWindows: codec === "gzip",
    dataSizeMax: spanSizeBytes * SPANS_MAX,
    leafSizeBytes,
  });
  const indexed = await indexTar({ ...options, indexer });
  const { dataSize, tarHeaders, leafDigests } = indexed;
  if (dataSize === 0) throw refuse("layer-empty", "it has no bytes");
  const { spans, windows } = await spansOf(codec, indexed, compress);
  const table = encodeFineTable({
    codec,
    layer: blob.digest,
    blobSize: blob.size,
    dataSize,
    leafSize: leafSizeBytes,
    spans,
    leaves: leafDigests,
    packedTree: await compress(tarHeaders, LEVEL),
    treeSize: tarHeaders.length,
    windows: windows.length === 0 ? undefined : { digest: sha256(windows), size: windows.length },
  });
  await compileFine({ table, headers: tarHeaders, layer: blob.digest, blobSize: blob.size });
  return { table, windows };
}

interface Spans {
  readonly spans: readonly FineSpan[];
  readonly windows: Buffer;
}

async function spansOf(
  codec: FineCodec,
  indexed: IndexedStream,
  compress: NativeBinding["compressFrame"],
): Promise<Spans> {
  const { blobSize, dataSize } = indexed;
  const whole = {
    dataOffset: 0,
    dataLength: dataSize,
    blobOffset: 0,
    blobLength: blobSize,
    bits: 0,
    window: NO_WINDOW,
  };
  if (codec === "raw") return { spans: [whole], windows: Buffer.alloc(0) };
  const streams = streamsOf(readSpans(indexed.spans));
  if (codec === "zstd") {
    return { spans: streams.map((stream) => frameSpan(stream)), windows: Buffer.alloc(0) };
  }
  return await withWindows(streams, indexed.windows, compress);
}

/** Spans that begin inside another one's stream belong to it; an empty one at the end is none. */
function streamsOf(spans: readonly IndexedSpan[]): IndexedSpan[] {
  const streams: IndexedSpan[] = [];
  for (const span of spans) {
    const before = streams.at(-1);
    if (before?.blobOffset === span.blobOffset) {
      streams[streams.length - 1] = { ...before, dataLength: before.dataLength + span.dataLength };
    } else if (span.dataLength > 0) {
      streams.push(span);
    }
  }
  return streams;
}

function frameSpan({ dataOffset, dataLength, blobOffset, blobLength }: IndexedSpan): FineSpan {
  if (dataLength > FINE_FRAME_BYTES_MAX) {
    throw refuse("fine-frame-too-long", `it has frames of zstd of more than ${FINE_FRAME_BYTES_MAX} bytes`);
  }
  return { dataOffset, dataLength, blobOffset, blobLength, bits: 0, window: NO_WINDOW };
}

async function withWindows(
  streams: readonly IndexedSpan[],
  windows: Buffer,
  compress: NativeBinding["compressFrame"],
): Promise<Spans> {
  const limit = pLimit(PACKS_AT_ONCE);
  const packed = await Promise.all(
    streams.map(({ dataOffset }, index) =>
      limit(async () => {
        const window = windows.subarray(index * WINDOW_SIZE, (index + 1) * WINDOW_SIZE);
        const content = windowContent(window, dataOffset);
        return content.length === 0 ? content : await compress(content, LEVEL);
      }),
    ),
  );
  let offset = 0;
  const spans = streams.map(({ dataOffset, dataLength, blobOffset, blobLength, innerOffset }, index) => {
    const bytes = packed[index]!;
    const crc = windowCrc(windows.subarray(index * WINDOW_SIZE, (index + 1) * WINDOW_SIZE));
    const digest = bytes.length === 0 ? NO_WINDOW.sha256 : Buffer.from(sha256(bytes).slice(7), "hex");
    const window = { offset, length: bytes.length, crc, sha256: digest };
    offset += bytes.length;
    return { dataOffset, dataLength, blobOffset, blobLength, bits: innerOffset, window };
  });
  return { spans, windows: Buffer.concat(packed) };
}

function refuse(reason: string, problem: string): Error {
  return failedPrecondition(`Cannot index layer: ${problem}, which an index of ours can't have`, { reason });
}
