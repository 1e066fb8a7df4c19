/**
 * What must survive a crash, in one LMDB file: tables of small checksummed values, and the table of snapshots.
 *
 *     const metadata = await openMetadata({ directory: "/var/lib/lazuli/metadata" });
 *     const snapshots = new SnapshotTable({ metadata, name: "", now: () => binding.realtimeNanoseconds() });
 */
export { ensureNamespace, requireIdentifier } from "./checks.js";
export { type ContainerRequest, ContainerTable } from "./container-table.js";
export { lockFolder } from "./folder-lock.js";
export { type ImageRequest, ImageTable, type ImageTarget } from "./image-table.js";
export type { KeyParts, TableKey } from "./key.js";
export { attachLease, type LeaseName, LeaseTable } from "./lease-table.js";
export {
  type ChangeListener,
  Metadata,
  type MetadataOptions,
  openMetadata,
  type WriteOptions,
} from "./metadata.js";
export { NamespaceTable, type RuleTableOptions } from "./namespace-table.js";
export type { JsonValue } from "./record.js";
export type * from "./rows.js";
export { type SandboxRequest, SandboxTable } from "./sandbox-table.js";
export { TARGET_LABEL } from "./snapshot-changes.js";
export type {
  SnapshotFallback,
  SnapshotOrigin,
  SnapshotRow,
  SnapshotRowKind,
  StoredUsage,
} from "./snapshot-row.js";
export { remoteTargets, snapshotRows, snapshotTables } from "./snapshot-row.js";
export { requireActive, SnapshotTable, type SnapshotTableOptions, targetTaken } from "./snapshot-table.js";
export { counters, type Entry, type Table } from "./table.js";
export * from "./tables.js";
export type { Change, Transaction } from "./transaction.js";
