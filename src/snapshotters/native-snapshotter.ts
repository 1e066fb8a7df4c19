import type { NativeBinding } from "../fuse/index.js";
import type { Metadata } from "../metadata/index.js";
import { createNativeStorage } from "./native-storage.js";
import { createStoredSnapshotter, type StoredSnapshotter } from "./stored-snapshotter.js";

export interface NativeSnapshotterOptions {
  /** Keeps this snapshotter's rows apart from others' in the same metadata. */
  readonly name: string;
  /** Folder on any file system; one with reflinks copies fastest. */
  readonly root: string;
  readonly binding: Pick<NativeBinding, "trees">;
  readonly metadata: Metadata;
  /** The system's clock in nanoseconds since 1970. */
  readonly now: () => bigint;
  /** syncfs(2) of the file system that holds a folder. */
  readonly syncFileSystem: (folder: string) => Promise<void>;
  /** Whether a tree goes when `remove` is called, or at the next `cleanup`. Default: at once, as containerd's. */
  readonly removal?: "at-once" | "at-cleanup" | undefined;
}

/** containerd's native snapshotter (plugins/snapshots/native), which copies. @throws INVALID_ARGUMENT for an unusable root */
export async function createNativeSnapshotter(options: NativeSnapshotterOptions): Promise<StoredSnapshotter> {
  const { name, root, binding, metadata, now, syncFileSystem, removal = "at-once" } = options;
  const storage = await createNativeStorage({ root, binding, syncFileSystem });
  return await createStoredSnapshotter({ name, metadata, storage, now, removal });
}
