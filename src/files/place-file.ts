import { open, rename } from "node:fs/promises";

/**
 * Puts a file in place whole, but not synced: a loss of power may cost it, or leave a part of it. `temporary` lies on the
 * same file system and, with `isNew`, must not exist.
 */
export async function placeFile(
  path: string,
  bytes: Uint8Array,
  { temporary, isNew = false }: { readonly temporary: string; readonly isNew?: boolean },
): Promise<void> {
  const file = await open(temporary, isNew ? "wx" : "w", 0o600);
  try {
    await file.writeFile(bytes);
  } finally {
    await file.close();
  }
  await rename(temporary, path);
}
