/**
 * Our own index of layers as they are: spans of 1 MiB, windows that are fetched when they are needed, and digests of
 * leaves, so that bytes are served before their span has arrived. Bytes in, values out; no IO of its own.
 *
 *     const tables = parseFineManifest(manifestBytes, { subject: imageManifest });
 *     const { packedTree, treeSize, spans } = parseFineTable({ table, layer, blobSize });
 *     const { root, units, dataSize } = await compileFine({ table, layer, blobSize, headers });
 */
export { type CompiledFine, type CompileFineOptions, compileFine } from "./compile-fine.js";
export { encodeFineTable } from "./encode-table.js";
export {
  buildFineManifest,
  type FineBlob,
  type FineReference,
  fineConfigBytes,
  parseFineManifest,
} from "./fine-manifest.js";
export type { FineCodec, FineSpan, FineTable, FineWindow } from "./fine-table.js";
export {
  FINE_FRAME_BYTES_MAX,
  FINE_LEAF_BYTES,
  FINE_SPAN_BYTES,
  FINE_TABLE_BYTES_MAX,
  HEADERS_BYTES_MAX,
} from "./limits.js";
export { FINE_ARTIFACT_TYPE, FINE_LAYER_ANNOTATION, fineMediaTypes } from "./names.js";
export { type ParseFineOptions, parseFineTable } from "./parse-table.js";
export type { FineLimit, FineReason } from "./refusal.js";
export { unpackWindow, windowContent, windowCrc } from "./window.js";
