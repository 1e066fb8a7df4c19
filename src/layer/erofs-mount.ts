import type { NativeBinding } from "../fuse/index.js";

/** MOUNT_ATTR_* of fsmount(2). */
const MOUNT_ATTR_RDONLY = 1;
const MOUNT_ATTR_NODEV = 4;

export interface ErofsMountOptions {
  readonly binding: Pick<NativeBinding, "fsmount">;
  readonly meta: string;
  /** The data file, local or in the flat mount. */
  readonly device: string;
  /** Keep the data file's bytes out of the page cache, where EROFS keeps them already (Linux 6.13). */
  readonly isDirect: boolean;
  readonly target: string;
}

/** Mounts a meta image with its data file. @throws Error with `code` of the system call */
export async function mountErofs(options: ErofsMountOptions): Promise<void> {
  const settings: [string, string | undefined][] = [
    ["source", options.meta],
    ["device", options.device],
  ];
  if (options.isDirect) settings.push(["directio", undefined]);
  await options.binding.fsmount("erofs", settings, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV, options.target);
}
