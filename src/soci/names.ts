/** The names that SOCI gave its media types, annotations and labels. */
export const artifactTypes = {
  1: "application/vnd.amazon.soci.index.v1+json",
  2: "application/vnd.amazon.soci.index.v2+json",
} as const;
export type IndexVersion = keyof typeof artifactTypes;

export const sociMediaTypes = {
  ztoc: "application/octet-stream",
  prefetch: "application/vnd.amazon.soci.prefetch.v1+json",
} as const;

export const sociAnnotations = {
  /** On a zTOC or prefetch artifact in an index: which layer it is about. */
  layerDigest: "com.amazon.soci.image-layer-digest",
  layerMediaType: "com.amazon.soci.image-layer-mediaType",
  spanSize: "com.amazon.soci.span-size",
  disableXattrs: "com.amazon.soci.disable-xattrs",
  /** On an index. */
  buildTool: "com.amazon.soci.build-tool-identifier",
  /** On an image manifest and on its descriptor: its v2 index. */
  indexDigest: "com.amazon.soci.index-digest",
  /** On the descriptor of a v2 index in an image index: the image it is about. */
  imageManifestDigest: "com.amazon.soci.image-manifest-digest",
} as const;

export const sociLabels = {
  indexDigest: "containerd.io/snapshot/remote/soci.index.digest",
} as const;
