import { loopDisk, type Teardown } from "./loop-disk.js";

/** A new ext4 of so many bytes, mounted; gives the folder. */
export async function ext4Disk(t: Teardown, sizeBytes: number): Promise<string> {
  // Nothing is kept for root, whose processes would fill it unseen.
  return await loopDisk(t, { type: "ext4", sizeBytes, flags: ["-m", "0"] });
}
