/** The names of the index as an OCI artifact. docs/formats.md tells what they stand for. */
export const FINE_ARTIFACT_TYPE = "application/vnd.lazuli.index.v1+json";

export const fineMediaTypes = {
  /** What is fetched to mount a layer: its spans, the digests of their leaves, its tree. */
  table: "application/vnd.lazuli.index.table.v1",
  /** What is fetched by ranges, when a span is decoded. */
  windows: "application/vnd.lazuli.index.windows.v1",
  /** Of the OCI image specification: an artifact without a config has this. */
  config: "application/vnd.oci.empty.v1+json",
} as const;

/** On a table: the layer that it is of. */
export const FINE_LAYER_ANNOTATION = "dev.lazuli.index.layer-digest";
