import { mkdir, mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { command } from "./command.js";
import { unmountBelow } from "./containerd.js";

/** Where the cleaning up is registered: a tap test, or a `Cleanup` by `{ teardown: (step) => cleanup.add(step) }`. */
export interface Teardown {
  teardown(step: () => Promise<void>): void;
}

export interface LoopDiskOptions {
  readonly type: "btrfs" | "ext4";
  /** The file is sparse. */
  readonly sizeBytes: number;
  /** Of mkfs. */
  readonly flags?: readonly string[];
}

/** A new file system in a file, mounted; gives the folder. The loop device goes with the mount. */
export async function loopDisk(t: Teardown, options: LoopDiskOptions): Promise<string> {
  const { type, sizeBytes, flags = [] } = options;
  const base = await mkdtemp(join(tmpdir(), `lazuli-${type}-`));
  const image = join(base, "disk");
  const folder = join(base, "mnt");
  t.teardown(async () => {
    await unmountBelow(folder);
    await rm(base, { recursive: true, force: true });
  });
  await mkdir(folder);
  await writeFile(image, "");
  await truncate(image, sizeBytes);
  await command(`mkfs.${type}`, ["-q", ...flags, image]);
  await command("mount", ["-o", "loop", image, folder]);
  return folder;
}
