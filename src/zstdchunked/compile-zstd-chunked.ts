import { type CompiledToc, compileToc, type TocDialect } from "../estargz/index.js";

export interface CompileZstdChunkedOptions {
  /** The JSON, verified against its digest. */
  readonly toc: Buffer;
  readonly dialect: TocDialect;
  readonly blobSize: number;
  /** Bytes of the blob that can hold content; see openZstdChunked(). */
  readonly payloadEnd: number;
  /** Files begin at multiples of it in the data file. */
  readonly blockSize: number;
}

/**
 * Turns the TOC of a zstd:chunked layer into its tree and its units, which have codec zstd. Chunks of zeros (containers
 * dialect) have no unit: they are gaps of the data file, which read as zeros and need no byte of the blob; what the blob
 * has in their place is compared by whoever sees the tar. Throws as compileToc(), and INVALID_ARGUMENT `toc-chunk-type`.
 */
export function compileZstdChunked(options: CompileZstdChunkedOptions): CompiledToc {
  const { toc, dialect, blobSize, payloadEnd, blockSize } = options;
  const withContainersFields = dialect === "containers";
  return compileToc({ toc, blobSize, payloadEnd, blockSize, codec: "zstd", withContainersFields });
}
