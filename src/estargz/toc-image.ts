import type { Digest } from "../bytes/index.js";
import { failedPrecondition, notFound } from "../errors/index.js";
import { type Descriptor, type Manifest, makeReference, type Reference } from "../oci/index.js";

/** Annotation of a layer: digest of its TOC's JSON. */
export const TOC_DIGEST_ANNOTATION = "containerd.io/snapshot/stargz/toc.digest";
/** Annotation of a layer of the TOC image: digest of the layer whose TOC it holds. */
const LAYER_DIGEST_ANNOTATION = "containerd.io/snapshot/stargz/layer.digest";
const TOC_TAG_SUFFIX = "-esgztoc";
const TAG_LENGTH_MAX = 128;

/** Where converters put the TOCs of an image with external TOCs. @throws FAILED_PRECONDITION `toc-reference` */
export function tocReference(image: Reference): Reference {
  const tag = image.tag === undefined ? undefined : `${image.tag}${TOC_TAG_SUFFIX}`;
  if (tag === undefined || tag.length > TAG_LENGTH_MAX) {
    throw failedPrecondition("Cannot find TOC image: the name of the image has no tag to derive it from", {
      subject: image.toString(),
      reason: "toc-reference",
      hint: "Pull the image by its tag",
    });
  }
  return makeReference({ registry: image.registry, repository: image.repository, tag, digest: undefined });
}

/** The layer of a TOC image that holds the TOC of a layer. @throws NOT_FOUND `toc-layer-missing` */
export function chooseTocLayer(tocImage: Manifest, layer: Digest): Descriptor {
  const found = tocImage.layers.find((one) => one.annotations[LAYER_DIGEST_ANNOTATION] === layer);
  if (found !== undefined) return found;
  throw notFound("Cannot find TOC: the TOC image has none for this layer", {
    subject: layer,
    reason: "toc-layer-missing",
  });
}
