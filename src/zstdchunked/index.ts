/**
 * zstd:chunked layers of both dialects, stargz-snapshotter's and containers/storage's: from the bytes of a stranger's
 * blob to the tree and the units of a layer. No IO of its own; the decoder of frames is given.
 *
 *     const { toc, dialect, payloadEnd } = await openZstdChunked({ blobSize, read, decompress, annotations, signal });
 *     const { root, units, dataSize } = compileZstdChunked({ toc, dialect, blobSize, payloadEnd, blockSize: 4096 });
 *
 * And the way back, for converters:
 *
 *     const plan = planZstdChunked({ dialect: "stargz", compress });
 *     plan.toc.addEntry(entry); plan.toc.addStream(compressedLength);
 *     const { tail, annotations } = await plan.finish({ contentSize });
 */
export {
  type Annotations,
  MANIFEST_CHECKSUM_ANNOTATION,
  MANIFEST_POSITION_ANNOTATION,
  STARGZ_MANIFEST_CHECKSUM_ANNOTATION,
  STARGZ_MANIFEST_POSITION_ANNOTATION,
  TAR_SPLIT_CHECKSUM_ANNOTATION,
  TAR_SPLIT_POSITION_ANNOTATION,
} from "./annotations.js";
export { type CompileZstdChunkedOptions, compileZstdChunked } from "./compile-zstd-chunked.js";
export { Crc64 } from "./crc64.js";
export type { DecompressFrame } from "./decode-frame.js";
export { parseZstdFooter, ZSTD_FOOTER_SIZE_MAX, type ZstdChunkedFooter } from "./footer.js";
export type { FramePlace } from "./frames.js";
export {
  type OpenedZstdChunked,
  type OpenZstdChunkedOptions,
  openZstdChunked,
  type TarSplitPlace,
} from "./open-zstd-chunked.js";
export {
  type PlanZstdChunkedOptions,
  planZstdChunked,
  type ZstdChunkedEnd,
  type ZstdChunkedPlan,
} from "./plan-zstd-chunked.js";
export {
  parseTarSplit,
  type ReadTarSplitOptions,
  readTarSplit,
  type TarSplitPiece,
} from "./read-tar-split.js";
export type { ZstdChunkedLimit, ZstdChunkedReason } from "./refusal.js";
export type { TarSplitWriter } from "./tar-split-writer.js";
