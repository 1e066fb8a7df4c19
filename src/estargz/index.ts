/**
 * eStargz layers: from the bytes of a stranger's blob to the tree and the units of a layer. No IO of its own.
 *
 *     const { toc, payloadEnd } = await openToc({ blobSize, read, tocDigest, signal });
 *     const { root, units, dataSize } = compileToc({ toc, blobSize, payloadEnd, blockSize: 4096 });
 */
export { type CompiledToc, type CompileOptions, compileToc, type TocFacts } from "./compile-toc.js";
export { FOOTER_SIZE_MAX, type Footer, parseFooter } from "./footer.js";
export { TOC_COMPRESSED_BYTES_MAX } from "./limits.js";
export {
  type OpenedToc,
  type OpenTocOptions,
  openExternalToc,
  openToc,
  type ReadBlob,
  tailGuess,
} from "./open-toc.js";
export type { TocLimit, TocReason } from "./refusal.js";
export { chooseTocLayer, TOC_DIGEST_ANNOTATION, tocReference } from "./toc-image.js";
export type { Prefetch } from "./tree-builder.js";
