import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadBinding } from "../../src/fuse/index.js";
import type { Cleanup } from "../rig/cleanup.js";
import { command } from "../rig/command.js";

const binding = loadBinding();
const MNT_DETACH = 2;

/** A folder in memory, so that the disks of the rig cost no disk. */
export async function crashFolder(cleanup: Cleanup): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-crash-"));
  cleanup.add(async () => await rm(folder, { recursive: true, force: true }));
  await binding.mount("lazuli-crash", folder, "tmpfs", 0, "mode=0700");
  cleanup.add(async () => await binding.umount(folder, MNT_DETACH));
  return folder;
}

/** A loop device on a file until the cleanup runs. */
export async function attachLoop(file: string, cleanup: Cleanup): Promise<string> {
  const { stdout } = await command("losetup", ["--find", "--show", file]);
  const device = stdout.trim();
  cleanup.add(async () => void (await command("losetup", ["--detach", device])));
  return device;
}

/** Takes a mount away that its user may have left. */
export async function detachMount(mountPoint: string): Promise<void> {
  await binding.umount(mountPoint, MNT_DETACH).catch((thrown: unknown) => {
    // EINVAL: nothing is mounted there any more.
    if (!String(thrown).includes("EINVAL")) throw thrown;
  });
}
