import { invalidArgument } from "../errors/index.js";
import type { FileNode } from "../tree/index.js";
import { BLOCKS_MAX, type BlockSize, CHUNK_BITS_MAX } from "./layout.js";

/** A file in one piece of the data file, cut into as few chunks as the format allows: one up to 2^31 blocks. */
export interface FileExtent {
  readonly firstBlock: number;
  /** Blocks of a chunk, as a power of two. */
  readonly chunkBits: number;
  readonly chunks: number;
}

/**
 * Where a file that isn't empty lies.
 * @throws INVALID_ARGUMENT `file-placement-invalid`
 */
export function fileExtent(file: FileNode, limits: { blockSize: BlockSize; dataSize: number }): FileExtent {
  const { blockSize, dataSize } = limits;
  const start = file.dataOffset ?? -1n;
  const isInside = file.size > 0n && start >= 0n && start + file.size <= BigInt(dataSize);
  if (!isInside || start % BigInt(blockSize) !== 0n) {
    throw invalidArgument(
      `Cannot place file: want a multiple of ${blockSize} and an end at most ${dataSize}, got ${file.size} bytes at ${file.dataOffset}`,
      { reason: "file-placement-invalid" },
    );
  }
  const blocks = Math.ceil(Number(file.size) / blockSize);
  let chunkBits = 0;
  while (chunkBits < CHUNK_BITS_MAX && 2 ** chunkBits < blocks) chunkBits += 1;
  return {
    firstBlock: Number(start) / blockSize,
    chunkBits,
    chunks: Math.ceil(blocks / 2 ** chunkBits),
  };
}

/** Blocks of the data file. @throws INVALID_ARGUMENT `data-file-too-large` */
export function dataBlocks(dataSize: number, blockSize: BlockSize): number {
  const blocks = Math.ceil(dataSize / blockSize);
  if (Number.isSafeInteger(dataSize) && dataSize >= 0 && blocks <= BLOCKS_MAX) return blocks;
  throw invalidArgument(
    `Cannot write meta image: a data file of at most ${BLOCKS_MAX} blocks of ${blockSize} bytes is wanted, got ${dataSize} bytes`,
    { reason: "data-file-too-large" },
  );
}
