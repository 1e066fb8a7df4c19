import { mkdir, mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { command } from "./command.js";
import { unmountBelow } from "./containerd.js";

export interface BtrfsDiskOptions {
  /** Whether quota groups are kept; default: not. */
  readonly hasQuotas?: boolean;
  /** Default: 512 MiB. The file is sparse. */
  readonly sizeBytes?: number;
}

/** Where the cleaning up is registered: a tap test, or a `Cleanup` by `{ teardown: (step) => cleanup.add(step) }`. */
export interface Teardown {
  teardown(step: () => Promise<void>): void;
}

/** A new btrfs in a file, mounted; gives the folder. The loop device goes with the mount. */
export async function btrfsDisk(t: Teardown, options: BtrfsDiskOptions = {}): Promise<string> {
  const base = await mkdtemp(join(tmpdir(), "lazuli-btrfs-"));
  const image = join(base, "disk");
  const folder = join(base, "mnt");
  t.teardown(async () => {
    await unmountBelow(folder);
    await rm(base, { recursive: true, force: true });
  });
  await mkdir(folder);
  await writeFile(image, "");
  await truncate(image, options.sizeBytes ?? 512 * 1024 * 1024);
  await command("mkfs.btrfs", ["-q", image]);
  await command("mount", ["-o", "loop", image, folder]);
  if (options.hasQuotas === true) await command("btrfs", ["quota", "enable", folder]);
  return folder;
}
