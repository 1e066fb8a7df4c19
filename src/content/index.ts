/**
 * The content-addressed store: ingest, commit, verify; what each namespace sees of it; blobs that are fetched when read.
 *
 *     const content = namespacedContent({ metadata, store, now, policy: "shared" });
 *     const blob = await content.for({ namespace: "default" }).open(digest);
 */
export { referenceLabels } from "./check-references.js";
export {
  type CheckedBlob,
  type CheckedIngest,
  type CheckedStore,
  type CheckStoreOptions,
  checkStore,
} from "./check-store.js";
export * from "./contract.js";
export {
  LocalStore,
  type LocalStoreOptions,
  openLocalStore,
  type RepairSource,
  type ScrubOptions,
} from "./local-store.js";
export { type LogicalBlobs, logicalBlobs, withLogicalBlobs } from "./logical-blobs.js";
export { type KnownLayers, type LogicalBlob, type LogicalSource, layerBlobSource } from "./logical-source.js";
export {
  type NamespacedContent,
  type NamespacedContentOptions,
  namespacedContent,
} from "./namespaced-content.js";
export type { NamespaceContext, SharingPolicy } from "./namespaced-rows.js";
export type { ContentSweep } from "./namespaced-sweep.js";
export { PinnedNames } from "./pinned-names.js";
export type { ProxyOptions } from "./proxy-connection.js";
export { proxyContentStore } from "./proxy-content-store.js";
