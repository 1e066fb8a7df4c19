import { lstat, readdir } from "node:fs/promises";
import pLimit from "p-limit";
import type { SnapshotUsage } from "./contract.js";

/** Calls in the thread pool at once: it has four threads, and others need them too. */
const CALLS_MAX = 8;
/** `st_blocks` counts in these units, whatever the file system's block is (stat(2)). */
const BLOCK_BYTES = 512;

/** What a folder holds on disk, as du counts: each inode once, the folder itself too. */
export async function diskUsage(
  folder: string,
  options: { signal?: AbortSignal | undefined } = {},
): Promise<SnapshotUsage> {
  const { signal } = options;
  const limit = pLimit(CALLS_MAX);
  // Only inodes with several names are remembered.
  const linked = new Set<string>();
  let size = 0;
  let inodes = 0;
  const count = async (path: Buffer): Promise<Buffer | undefined> => {
    const stat = await lstat(path);
    if (stat.nlink > 1 && !stat.isDirectory()) {
      const inode = `${stat.dev}:${stat.ino}`;
      if (linked.has(inode)) return undefined;
      linked.add(inode);
    }
    size += stat.blocks * BLOCK_BYTES;
    inodes += 1;
    return stat.isDirectory() ? path : undefined;
  };
  // Names are bytes: as text, one that is no UTF-8 would not be found again.
  const folders = [await count(Buffer.from(folder))];
  for (let next = folders.pop(); next !== undefined; next = folders.pop()) {
    signal?.throwIfAborted();
    const base = Buffer.concat([next, Buffer.from("/")]);
    const names = await readdir(next, { encoding: "buffer" });
    const found = await Promise.all(names.map((name) => limit(count, Buffer.concat([base, name]))));
    for (const path of found) if (path !== undefined) folders.push(path);
  }
  return { size, inodes };
}
