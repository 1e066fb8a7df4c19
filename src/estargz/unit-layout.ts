import type { FileNode } from "../tree/index.js";
import type { Unit, UnitCodec } from "../units/index.js";
import type { ChunkList } from "./chunk-list.js";
import { refuseToc } from "./refusal.js";

export interface LayoutOptions {
  readonly chunks: ChunkList;
  /** Files that no name leads to: landmarks, and those that a later entry replaced. */
  readonly dropped: ReadonlySet<FileNode>;
  readonly payloadEnd: number;
  readonly blockSize: number;
  readonly codec: UnitCodec;
}

/**
 * What a stream can need at most to be decoded up to a byte: deflate spends 15 bits on a literal byte at worst, zstd
 * stores what it can't make smaller, and the rest is for block headers. Keeps a TOC with few offsets from making each unit cost the whole blob.
 */
const STREAM_SLACK_BYTES = 1024 * 1024;
const STREAM_EXPANSION = 2;

/**
 * Gives each file a place in the data file, in the order in which their bytes lie in the blob, and makes the units.
 * Chunks of zeros get no unit: the gap that they leave reads as zeros.
 * Sets `dataOffset` of the nodes. @throws INVALID_ARGUMENT with reason `toc-chunk-order`
 */
export function layOutUnits(options: LayoutOptions): { readonly units: Unit[]; readonly dataSize: number } {
  const { chunks, blockSize, codec } = options;
  const files = chunks.files.filter(({ node }) => !options.dropped.has(node));
  files.sort((left, right) => compareChunks(chunks, left.first, right.first));
  const order: number[] = [];
  const dataOffsets: number[] = [];
  const fileEnds: number[] = [];
  let dataSize = 0;
  for (const file of files) {
    file.node.dataOffset = BigInt(dataSize);
    let at = dataSize;
    for (let chunk = file.first; chunk < file.first + file.count; chunk++) {
      order.push(chunk);
      dataOffsets.push(at);
      fileEnds.push(chunk === file.first + file.count - 1 ? file.end : 0);
      at += chunks.lengths[chunk]!;
    }
    dataSize = Math.ceil(at / blockSize) * blockSize;
  }
  checkOrder(chunks, order);
  const ends = streamEnds(options, order, fileEnds);
  const units: Unit[] = [];
  for (const [place, chunk] of order.entries()) {
    if (chunks.zeros.has(chunk)) continue;
    const blobOffset = chunks.offsets[chunk]!;
    units.push({
      dataOffset: dataOffsets[place]!,
      dataLength: chunks.lengths[chunk]!,
      blobOffset,
      blobLength: ends[place]! - blobOffset,
      innerOffset: chunks.innerOffsets[chunk]!,
      sha256: chunks.digest(chunk),
      codec,
    });
  }
  return { units, dataSize };
}

function compareChunks(chunks: ChunkList, left: number, right: number): number {
  return (
    chunks.offsets[left]! - chunks.offsets[right]! || chunks.innerOffsets[left]! - chunks.innerOffsets[right]!
  );
}

/** Files lie one behind another in a tar: their chunks can't mix, go backwards or share bytes. */
function checkOrder(chunks: ChunkList, order: readonly number[]): void {
  for (let place = 1; place < order.length; place++) {
    const before = order[place - 1]!;
    const chunk = order[place]!;
    const [startBefore, start] = [chunks.offsets[before]!, chunks.offsets[chunk]!];
    if (start > startBefore) continue;
    const innerEnd = chunks.innerOffsets[before]! + chunks.lengths[before]!;
    if (start === startBefore && chunks.innerOffsets[chunk]! >= innerEnd) continue;
    throw refuseToc(
      "toc-chunk-order",
      `two chunks overlap or go backwards at offset ${start} (inner ${chunks.innerOffsets[chunk]}) of the blob`,
    );
  }
}

/** For each unit where its stream ends in the blob: where the next stream of any file begins. */
function streamEnds(
  options: LayoutOptions,
  order: readonly number[],
  fileEnds: readonly number[],
): Float64Array {
  const { chunks, payloadEnd } = options;
  const starts = Float64Array.from(chunks.offsets).sort();
  const ends = new Float64Array(order.length);
  let boundary = 0;
  for (let first = 0; first < order.length; ) {
    const start = chunks.offsets[order[first]!]!;
    let last = first;
    while (last + 1 < order.length && chunks.offsets[order[last + 1]!] === start) last += 1;
    while (boundary < starts.length && starts[boundary]! <= start) boundary += 1;
    const decoded = chunks.innerOffsets[order[last]!]! + chunks.lengths[order[last]!]!;
    const end = Math.min(
      boundary < starts.length ? starts[boundary]! : payloadEnd,
      start + decoded * STREAM_EXPANSION + STREAM_SLACK_BYTES,
      fileEnds[last]! || payloadEnd,
    );
    ends.fill(end, first, last + 1);
    first = last + 1;
  }
  return ends;
}
