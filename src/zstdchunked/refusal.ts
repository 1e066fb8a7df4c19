import { invalidArgument, type LazuliError, resourceExhausted } from "../errors/index.js";

/** Why what surrounds the content of a zstd:chunked blob can't be used: the `reason` of the error. */
export type ZstdChunkedReason =
  | "annotation-malformed"
  | "annotation-conflict"
  | "manifest-type-unsupported"
  | "footer-malformed"
  | "footer-offset-out-of-range"
  | "footer-chain"
  | "footer-annotation-mismatch"
  | "frame-malformed"
  | "toc-zstd-malformed"
  | "tar-split-zstd-malformed"
  | "tar-split-malformed";

export type ZstdChunkedLimit = "toc-too-large" | "tar-split-too-large";

export function refuseBlob(reason: ZstdChunkedReason, problem: string, cause?: unknown): LazuliError {
  return invalidArgument(`Cannot read zstd:chunked layer: ${problem}`, { reason, cause });
}

export function refuseBlobSize(reason: ZstdChunkedLimit, problem: string): LazuliError {
  return resourceExhausted(`Cannot read zstd:chunked layer: ${problem}`, { reason });
}
