import { mkdir, mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Teardown } from "./btrfs-disk.js";
import { command } from "./command.js";
import { unmountBelow } from "./containerd.js";

/** A new ext4 of so many bytes in a file, mounted; gives the folder. The loop device goes with the mount. */
export async function ext4Disk(t: Teardown, sizeBytes: number): Promise<string> {
  const base = await mkdtemp(join(tmpdir(), "lazuli-ext4-"));
  const image = join(base, "disk");
  const folder = join(base, "mnt");
  t.teardown(async () => {
    await unmountBelow(folder);
    await rm(base, { recursive: true, force: true });
  });
  await mkdir(folder);
  await writeFile(image, "");
  await truncate(image, sizeBytes);
  // Nothing is kept for root, whose processes would fill it unseen.
  await command("mkfs.ext4", ["-q", "-m", "0", image]);
  await command("mount", ["-o", "loop", image, folder]);
  return folder;
}
