import type { CompiledToc, ReadBlob } from "../src/estargz/index.js";
import {
  type Annotations,
  compileZstdChunked,
  type OpenedZstdChunked,
  openZstdChunked,
} from "../src/zstdchunked/index.js";
import { unzstd } from "./zstdchunked-builder.js";

export interface BlobReader {
  readonly read: ReadBlob;
  /** What was asked for. */
  readonly ranges: { offset: number; length: number }[];
}

export function readerOf(blob: Buffer): BlobReader {
  const ranges: { offset: number; length: number }[] = [];
  const read: ReadBlob = async ({ offset, length }) => {
    ranges.push({ offset, length });
    return blob.subarray(offset, offset + length);
  };
  return { read, ranges };
}

export async function openBlob(blob: Buffer, annotations: Annotations): Promise<OpenedZstdChunked> {
  const { read } = readerOf(blob);
  return await openZstdChunked({ blobSize: blob.length, read, decompress: unzstd, annotations });
}

export function compileBlob(blob: Buffer, opened: OpenedZstdChunked): CompiledToc {
  const { toc, dialect, payloadEnd } = opened;
  return compileZstdChunked({ toc, dialect, blobSize: blob.length, payloadEnd, blockSize: 4096 });
}
