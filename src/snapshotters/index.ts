/**
 * containerd's snapshotter contract, and an overlayfs snapshotter whose layers may be lazy.
 *
 *     const resolver = labelResolver({ registry, hostContent, soci, wholeBytesMin });
 *     const snapshotter = await createLazySnapshotter({ root, binding, metadata, engine, resolver, now, syncFileSystem });
 */
export { type BtrfsSnapshotterOptions, createBtrfsSnapshotter } from "./btrfs-snapshotter.js";
export { type BtrfsStorageOptions, createBtrfsStorage } from "./btrfs-storage.js";
export * from "./contract.js";
export { fallbackChannel, preparedChannel } from "./events.js";
export type { LayerRegistry } from "./external-toc.js";
export { FineIndexes } from "./fine-indexes.js";
export { type LabelResolverOptions, labelResolver } from "./label-resolver.js";
export {
  createLazySnapshotter,
  type LazySnapshotter,
  type LazySnapshotterOptions,
} from "./lazy-snapshotter.js";
export {
  type NamespacedSnapshotter,
  type NamespacedSnapshotterOptions,
  namespacedSnapshotter,
} from "./namespaced-snapshotter.js";
export type { SnapshotSweep } from "./namespaced-sweep.js";
export { createNativeSnapshotter, type NativeSnapshotterOptions } from "./native-snapshotter.js";
export { createNativeStorage, type NativeStorageOptions } from "./native-storage.js";
export { detectOverlay, type OverlayOptions } from "./overlay.js";
export {
  type IdMappingMode,
  type OverlayIdMapping,
  type OverlayIdMappingOptions,
  openOverlayIdMapping,
} from "./overlay-id-mapping.js";
export { createOverlayfsSnapshotter, type OverlayfsSnapshotterOptions } from "./overlayfs-snapshotter.js";
export { openProjectQuota, type ProjectQuota, type ProjectQuotaOptions } from "./project-quota.js";
export { ProxyConnection, type ProxyConnectionOptions, type ProxyContext } from "./proxy-connection.js";
export {
  createProxySnapshotter,
  type ProxySnapshotter,
  type ProxySnapshotterOptions,
} from "./proxy-snapshotter.js";
export * from "./resolver.js";
export { SociIndexes, type SociIndexesOptions } from "./soci-indexes.js";
export { startOf } from "./start-of.js";
export * from "./storage.js";
export {
  createStoredSnapshotter,
  type SnapshotFacts,
  type StoredSnapshotter,
  type StoredSnapshotterOptions,
} from "./stored-snapshotter.js";
