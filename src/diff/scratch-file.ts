import { randomUUID } from "node:crypto";
import type { FileHandle } from "node:fs/promises";
import { mkdir, open, rm, unlink } from "node:fs/promises";
import { join } from "node:path";

const PRIVATE = 0o700;

/** A private folder for what lives as long as one call; what an earlier process left there goes. */
export async function openScratch(folder: string): Promise<string> {
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true, mode: PRIVATE });
  return folder;
}

/** Lends a file without a name, which is gone when `use` is over. */
export async function withScratchFile<Result>(
  folder: string,
  use: (file: FileHandle) => Promise<Result>,
): Promise<Result> {
  const path = join(folder, randomUUID());
  const file = await open(path, "wx+", 0o600);
  try {
    await unlink(path);
    return await use(file);
  } finally {
    await file.close();
  }
}
