import type { NativeBinding } from "./binding.js";
import { sessionKinds } from "./binding.js";

/** MS_* of mount(2). */
const MS_RDONLY = 1;
const MS_NOSUID = 2;
const MS_NODEV = 4;
const MS_NOEXEC = 8;
/** MNT_* of umount2(2). */
const MNT_DETACH = 2;

/** The longest READ in bytes; the plane has buffers for it. */
const READ_MAX = 1024 * 1024;

export interface FuseMountOptions {
  readonly binding: Pick<NativeBinding, "mount">;
  /** What the session was opened with: the plane must be answering already. */
  readonly fuseFd: number;
  /** An existing folder, reachable by root only. */
  readonly target: string;
  /** Of `sessionKinds`. A tree keeps setuid bits, which images need; a flat mount holds data only. */
  readonly kind: number;
}

/**
 * Mounts a FUSE session. Permissions are checked by the kernel (`default_permissions`), because with `allow_other` alone
 * root-only files of an image would be everyone's.
 * @throws Error with `code` of mount(2)
 */
export async function mountFuse(options: FuseMountOptions): Promise<void> {
  const flags =
    options.kind === sessionKinds.flat ? MS_RDONLY | MS_NODEV | MS_NOSUID | MS_NOEXEC : MS_RDONLY | MS_NODEV;
  const data = [
    `fd=${options.fuseFd}`,
    "rootmode=40000",
    "user_id=0",
    "group_id=0",
    "allow_other",
    "default_permissions",
    `max_read=${READ_MAX}`,
  ];
  await options.binding.mount("lazuli", options.target, "fuse.lazuli", flags, data.join(","));
}

/** Detaches a mount: it goes when its last user does. @throws Error with `code` of umount2(2) */
export async function unmountFuse(binding: Pick<NativeBinding, "umount">, target: string): Promise<void> {
  await binding.umount(target, MNT_DETACH);
}
