/**
 * OCI registries, the pulling side.
 */
export type { BlobSource, RangeRequest } from "./blob-source.js";
