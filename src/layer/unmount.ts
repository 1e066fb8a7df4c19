import { lstat, mkdir, rmdir } from "node:fs/promises";
import type { NativeBinding } from "../fuse/index.js";

/** MNT_DETACH of umount2(2). */
const MNT_DETACH = 2;

type Umount = Pick<NativeBinding, "umount">;

/** Takes a mount away; who still uses it keeps it until done. Nothing mounted there is fine. */
export async function unmount(binding: Umount, target: string): Promise<void> {
  try {
    await binding.umount(target, 0);
  } catch (thrown) {
    const { code } = thrown as NodeJS.ErrnoException;
    if (code === "EINVAL" || code === "ENOENT") return;
    await binding.umount(target, MNT_DETACH);
  }
}

/** Detaches whatever is mounted at a place, without asking its server anything. */
export async function detach(binding: Umount, target: string): Promise<void> {
  await binding.umount(target, MNT_DETACH);
}

/** Makes a mount's folder. The caller knows that nothing is mounted there. */
export async function makeMountFolder(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o700 });
}

/** Removes a mount's folder after its mount is gone. */
export async function removeMountFolder(path: string): Promise<void> {
  try {
    const stat = await lstat(path);
    if (stat.isDirectory()) await rmdir(path);
  } catch (thrown) {
    const { code } = thrown as NodeJS.ErrnoException;
    if (code !== "ENOENT" && code !== "EBUSY" && code !== "ENOTEMPTY") throw thrown;
  }
}
