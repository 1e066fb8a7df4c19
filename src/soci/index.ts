/**
 * SOCI: lazy access to layers as they are, by an index that lies beside them. Bytes in, values out; no IO of its own.
 *
 *     const lookup = sociDiscovery({ labels, manifestDigest, manifestAnnotations, takesAnnotation: true, takesReferrers: false });
 *     const { ztocs } = parseSociIndex(indexBytes);
 *     const { root, units, windows, dataSize } = compileZtoc({ ztoc, digest: ztocs.get(layer)!.digest, blobSize });
 */
export { type BuildIndexOptions, buildSociIndex, type OciDocument, sociConfigBytes } from "./build-index.js";
export { type CheckWindowOptions, checkWindow } from "./check-window.js";
export { type CompiledZtoc, type CompileZtocOptions, compileZtoc, type LayerFacts } from "./compile-ztoc.js";
export { type DiscoveryOptions, type IndexLookup, selectReferrer, sociDiscovery } from "./discovery.js";
export {
  type EmbeddedImage,
  type EmbeddedIndex,
  type EmbedOptions,
  embeddedSociIndexes,
  embedSociIndexes,
} from "./embed-indexes.js";
export { type EncodeZtocOptions, encodeZtoc } from "./encode-ztoc.js";
export { hasNoXattrs } from "./entry-xattrs.js";
export { type Checkpoint, encodeGzipZinfo, type GzipZinfo, readGzipZinfo } from "./gzip-zinfo.js";
export { ZTOC_BYTES_MAX } from "./limits.js";
export { artifactTypes, type IndexVersion, sociAnnotations, sociLabels, sociMediaTypes } from "./names.js";
export {
  type ParseIndexOptions,
  type PrefetchReference,
  parseSociIndex,
  type SociIndex,
  type ZtocReference,
} from "./parse-index.js";
export { encodePrefetch, parsePrefetch, type SpanRange } from "./prefetch.js";
export { readZtoc } from "./read-ztoc.js";
export type { ZtocLimit, ZtocReason } from "./refusal.js";
export { type SpanLayout, type SpanUnit, spanRanges } from "./span-units.js";
export { encodeTarZinfo, readTarZinfo, type TarZinfo } from "./tar-zinfo.js";
export type { Algorithm, EntryType, PaxRecord, Ztoc, ZtocEntry, ZtocFacts } from "./ztoc.js";
