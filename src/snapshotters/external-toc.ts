import type { Digest } from "../bytes/index.js";
import { resourceExhausted } from "../errors/index.js";
import { chooseTocLayer, TOC_COMPRESSED_BYTES_MAX, tocReference } from "../estargz/index.js";
import { parseManifest, parseReference } from "../oci/index.js";
import type { Registry } from "../registry/index.js";

/** What of a registry it takes to open layers, and to read TOCs that lie in an image of their own. */
export type LayerRegistry = Pick<Registry, "openBlob" | "fetchManifest" | "fetchBlobBytes" | "referrers">;

export interface ExternalToc {
  readonly registry: LayerRegistry;
  /** The image that the layer belongs to; its TOCs lie in `<tag>-esgztoc` of the same repository. */
  readonly reference: string;
  readonly layer: Digest;
  readonly signal?: AbortSignal | undefined;
}

/**
 * The compressed TOC of a layer from the TOC image, as the blob's digest names it. Whether it is the TOC of this layer
 * only the layer's own TOC digest tells.
 *
 * @throws FAILED_PRECONDITION `toc-reference`; NOT_FOUND `toc-layer-missing`; RESOURCE_EXHAUSTED `toc-too-large`;
 * INVALID_ARGUMENT; as Registry.fetchManifest()
 */
export async function loadExternalToc(options: ExternalToc): Promise<Buffer> {
  const { registry, layer, signal } = options;
  const reference = tocReference(parseReference(options.reference)).toString();
  const { bytes, mediaType } = await registry.fetchManifest({ reference, signal });
  const { digest, size } = chooseTocLayer(parseManifest(bytes, { contentType: mediaType }), layer);
  if (size > TOC_COMPRESSED_BYTES_MAX) {
    throw resourceExhausted(
      `Cannot read TOC: want at most ${TOC_COMPRESSED_BYTES_MAX} bytes compressed, got ${size}`,
      { subject: layer, reason: "toc-too-large" },
    );
  }
  return await registry.fetchBlobBytes({ reference, digest, maxBytes: size, signal });
}
