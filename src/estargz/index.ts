/**
 * eStargz layers: from the bytes of a stranger's blob to the tree and the units of a layer. No IO of its own.
 *
 *     const { toc, payloadEnd } = await openToc({ blobSize, read, tocDigest, signal });
 *     const { root, units, dataSize } = compileToc({ toc, blobSize, payloadEnd, blockSize: 4096 });
 *
 * And the way back, for converters:
 *
 *     const plan = planEstargz({ compress });
 *     plan.toc.addEntry(entry); plan.toc.addStream(compressedLength);
 *     const { tail, annotations } = await plan.finish({ contentSize });
 *
 * zstd:chunked layers have the same TOC: src/zstdchunked reads and writes it with what is here.
 */
export {
  type CompiledToc,
  type CompileOptions,
  compileToc,
  type TocFacts,
  tocBudget,
} from "./compile-toc.js";
export { FOOTER_SIZE_MAX, type Footer, parseFooter } from "./footer.js";
export { requireTocDigest } from "./inflate-toc.js";
export { ENTRIES_MAX, TOC_COMPRESSED_BYTES_MAX, TOC_JSON_BYTES_MAX } from "./limits.js";
export {
  type OpenedToc,
  type OpenTocOptions,
  openExternalToc,
  openToc,
  type ReadBlob,
  tailGuess,
} from "./open-toc.js";
export {
  type EstargzEnd,
  type EstargzPlan,
  type PlanEstargzOptions,
  planEstargz,
  UNCOMPRESSED_SIZE_ANNOTATION,
} from "./plan-estargz.js";
export type { TocLimit, TocReason } from "./refusal.js";
export { chooseTocLayer, TOC_DIGEST_ANNOTATION, tocReference } from "./toc-image.js";
export { TocWriter } from "./toc-writer.js";
export type { Prefetch } from "./tree-builder.js";
export type { TocDialect, WrittenChunk, WrittenEntry } from "./written-entry.js";
