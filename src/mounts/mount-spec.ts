import type { NativeBinding } from "../fuse/index.js";

/** One of containerd's `types.Mount`. */
export interface MountSpec {
  readonly type: string;
  readonly source: string;
  /** Place below the target of the whole list; "" is the target itself. */
  readonly target: string;
  readonly options: readonly string[];
}

export type MountBinding = Pick<NativeBinding, "mount" | "umount" | "mounts">;
