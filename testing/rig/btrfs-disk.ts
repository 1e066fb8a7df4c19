import { command } from "./command.js";
import { loopDisk, type Teardown } from "./loop-disk.js";

export interface BtrfsDiskOptions {
  /** Whether quota groups are kept; default: not. */
  readonly hasQuotas?: boolean;
  /** Default: 512 MiB. */
  readonly sizeBytes?: number;
}

/** A new btrfs, mounted; gives the folder. */
export async function btrfsDisk(t: Teardown, options: BtrfsDiskOptions = {}): Promise<string> {
  const { hasQuotas = false, sizeBytes = 512 * 1024 * 1024 } = options;
  const folder = await loopDisk(t, { type: "btrfs", sizeBytes });
  if (hasQuotas) await command("btrfs", ["quota", "enable", folder]);
  return folder;
}
