import type { Digest } from "../bytes/index.js";
import type { Mount, SnapshotKind, SnapshotUsage } from "./contract.js";

/** A committed snapshot that another one stands on. */
export interface StoredParent {
  readonly id: number;
  readonly labels: Readonly<Record<string, string>>;
  /** Digest of the engine's layer that it is; undefined: a tree of the storage. */
  readonly layer?: Digest | undefined;
}

/** A snapshot as its storage sees it: by number. Names, kinds and rules are the snapshotter's. */
export interface StoredSnapshot {
  /** 1 to 2^53-1; never used again. */
  readonly id: number;
  readonly kind: SnapshotKind;
  readonly labels: Readonly<Record<string, string>>;
  /** Nearest first. */
  readonly parents: readonly StoredParent[];
}

export interface StorageOptions {
  readonly signal?: AbortSignal | undefined;
}

/**
 * Where the trees of snapshots are kept: what the snapshotters differ in. The caller keeps the rows and calls in this
 * order: `create`, then the row; `commit`, then the row becomes a committed one; the row goes, then `remove`. So after a
 * crash there may be trees without a row, or of a kind that the row does not have, and never a row without its tree.
 */
export interface SnapshotStorage {
  /** The largest id of which anything is here, finished or not; 0 for none. */
  idTaken(): Promise<number>;
  /**
   * Makes the tree of an active snapshot or a view; durable when it returns. Until the result is disposed,
   * `removeUnknown` leaves it alone, row or not.
   */
  create(snapshot: StoredSnapshot, options?: StorageOptions): Promise<Disposable>;
  /** How an active snapshot or a view is mounted. */
  mounts(snapshot: StoredSnapshot, options?: StorageOptions): Promise<readonly Mount[]>;
  /** What an active snapshot or a view holds now beyond its parents. */
  usage(snapshot: StoredSnapshot, options?: StorageOptions): Promise<SnapshotUsage>;
  /**
   * Freezes the tree of an active snapshot, durably when it returns, and measures it. It may be called again for the
   * same id: after a crash, or when the row could not be written.
   */
  commit(snapshot: StoredSnapshot, options?: StorageOptions): Promise<SnapshotUsage>;
  /**
   * Deletes what there is of an id beyond its row's kind; all, when the row is gone. It may fail: `removeUnknown` comes
   * again.
   */
  remove(id: number, kindInUse: SnapshotKind | undefined): Promise<void>;
  /** Deletes all that has no row, or belongs to another kind than its row's. A failure is told and passed over. */
  removeUnknown(kindsInUse: () => ReadonlyMap<number, SnapshotKind>): Promise<void>;
  close(): Promise<void>;
}
