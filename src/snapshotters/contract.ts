/** containerd's snapshot kinds, with the numbers of `containerd.services.snapshots.v1`. */
export const snapshotKinds = { view: 1, active: 2, committed: 3 } as const;
export type SnapshotKind = keyof typeof snapshotKinds;

/** Nanoseconds since 1970, as the kernel's clock has them: clients compare them to the nanosecond. */
export type Nanoseconds = bigint;

export interface SnapshotInfo {
  readonly name: string;
  /** "" for none. */
  readonly parent: string;
  readonly kind: SnapshotKind;
  readonly createdAt: Nanoseconds;
  readonly updatedAt: Nanoseconds;
  readonly labels: Readonly<Record<string, string>>;
}

/** A mount as containerd's `types.Mount` has it. */
export interface Mount {
  readonly type: string;
  readonly source: string;
  readonly target: string;
  readonly options: readonly string[];
}

export interface SnapshotUsage {
  /** Bytes on disk. */
  readonly size: number;
  readonly inodes: number;
}

export interface CreateSnapshot {
  readonly key: string;
  /** "" for none; otherwise the name of a committed snapshot. */
  readonly parent: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal | undefined;
}

export interface CommitSnapshot {
  readonly name: string;
  readonly key: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Sets the parent at commit (capability `rebase`); "" keeps the key's own. */
  readonly parent: string;
  readonly signal?: AbortSignal | undefined;
}

export interface UpdateSnapshot {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Field paths `labels`, `labels.<key>`; empty: replace everything that can change. */
  readonly fieldPaths: readonly string[];
}

/**
 * containerd's snapshotter contract (core/snapshots/snapshotter.go). Keys name active snapshots and views, names the
 * committed ones; both share one space. Nothing is acknowledged before it is durable.
 */
export interface Snapshotter {
  /** @throws NOT_FOUND */
  stat(name: string): Promise<SnapshotInfo>;
  /** @throws NOT_FOUND; INVALID_ARGUMENT for a field that can't change */
  update(request: UpdateSnapshot): Promise<SnapshotInfo>;
  /** @throws NOT_FOUND */
  usage(name: string, options?: { signal?: AbortSignal | undefined }): Promise<SnapshotUsage>;
  /** @throws NOT_FOUND; FAILED_PRECONDITION for a committed snapshot */
  mounts(key: string, options?: { signal?: AbortSignal | undefined }): Promise<readonly Mount[]>;
  /** @throws ALREADY_EXISTS (also: the target was made from a remote layer); NOT_FOUND; INVALID_ARGUMENT */
  prepare(request: CreateSnapshot): Promise<readonly Mount[]>;
  view(request: CreateSnapshot): Promise<readonly Mount[]>;
  /** @throws ALREADY_EXISTS; NOT_FOUND; FAILED_PRECONDITION */
  commit(request: CommitSnapshot): Promise<void>;
  /** @throws NOT_FOUND; FAILED_PRECONDITION when it has children */
  remove(name: string): Promise<void>;
  /** Snapshots in key order that match any of the filters (containerd's filter language); no filter matches all. */
  walk(filters: readonly string[]): AsyncIterable<SnapshotInfo>;
  /** Deletes what removed snapshots left behind. */
  cleanup(): Promise<void>;
  close(): Promise<void>;
}
