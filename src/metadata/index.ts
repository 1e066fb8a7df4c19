/**
 * What must survive a crash, in one LMDB file: tables of small checksummed values, and the table of snapshots.
 *
 *     const metadata = await openMetadata({ directory: "/var/lib/lazuli/metadata" });
 *     const snapshots = new SnapshotTable({ metadata, now: () => binding.realtimeNanoseconds() });
 */
export { lockFolder } from "./folder-lock.js";
export { Metadata, type MetadataOptions, openMetadata, type WriteOptions } from "./metadata.js";
export type { JsonValue } from "./record.js";
export { TARGET_LABEL } from "./snapshot-changes.js";
export type {
  SnapshotFallback,
  SnapshotOrigin,
  SnapshotRow,
  SnapshotRowKind,
  StoredUsage,
} from "./snapshot-row.js";
export { requireActive, SnapshotTable, type SnapshotTableOptions, targetTaken } from "./snapshot-table.js";
export type { Table, TableKey } from "./table.js";
export type { Transaction } from "./transaction.js";
