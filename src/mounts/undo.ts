import { log } from "../observe/index.js";
import type { MountBinding } from "./mount-spec.js";

/** Of umount2(2). */
const MNT_DETACH = 2;
const UMOUNT_NOFOLLOW = 8;

/** Takes a mount away where another failure is already on its way to the caller. */
export async function detachQuietly(binding: MountBinding, target: string): Promise<void> {
  try {
    await binding.umount(target, MNT_DETACH | UMOUNT_NOFOLLOW);
  } catch (thrown) {
    const { code } = thrown as NodeJS.ErrnoException;
    // Nothing is mounted there.
    if (code === "EINVAL" || code === "ENOENT") return;
    log.warn("Cannot take a mount away", { path: target, error: String(thrown) });
  }
}

/** Takes the uppermost mount away; who still uses it keeps it until done. Returns whether there was one. */
export async function unmountOne(binding: MountBinding, target: string): Promise<boolean> {
  try {
    await binding.umount(target, UMOUNT_NOFOLLOW);
    return true;
  } catch (thrown) {
    const { code } = thrown as NodeJS.ErrnoException;
    if (code === "EINVAL" || code === "ENOENT") return false;
    if (code !== "EBUSY") throw thrown;
  }
  await binding.umount(target, MNT_DETACH | UMOUNT_NOFOLLOW);
  return true;
}
