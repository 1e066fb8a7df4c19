import type { NativeBinding } from "../fuse/index.js";
import type { Metadata } from "../metadata/index.js";
import { createBtrfsStorage } from "./btrfs-storage.js";
import { createStoredSnapshotter, type StoredSnapshotter } from "./stored-snapshotter.js";

export interface BtrfsSnapshotterOptions {
  /** Keeps this snapshotter's rows apart from others' in the same metadata. */
  readonly name: string;
  /** Folder on a btrfs. */
  readonly root: string;
  readonly binding: Pick<NativeBinding, "btrfs" | "trees">;
  readonly metadata: Metadata;
  /** The system's clock in nanoseconds since 1970. */
  readonly now: () => bigint;
  /** Whether a tree goes when `remove` is called, or at the next `cleanup`. Default: at once, as containerd's. */
  readonly removal?: "at-once" | "at-cleanup" | undefined;
}

/** containerd's btrfs snapshotter (plugins/snapshots/btrfs). @throws FAILED_PRECONDITION where the root is on no btrfs */
export async function createBtrfsSnapshotter(options: BtrfsSnapshotterOptions): Promise<StoredSnapshotter> {
  const { name, root, binding, metadata, now, removal = "at-once" } = options;
  const storage = await createBtrfsStorage({ root, binding });
  return await createStoredSnapshotter({ name, metadata, storage, now, removal });
}
