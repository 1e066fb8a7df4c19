import { randomUUID } from "node:crypto";
import { open, readFile, rename } from "node:fs/promises";
import { join } from "node:path";

const uuidPattern = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/**
 * The UUID that clients such as BuildKit know this daemon by: kept in the root, and made at the first start, or when
 * the file holds something else.
 */
export async function serverId(root: string): Promise<string> {
  const path = join(root, "uuid");
  const kept = await readFile(path, "utf8").catch(() => ""); // Missing at the first start.
  if (uuidPattern.test(kept.trim())) return kept.trim();
  const made = randomUUID();
  const handle = await open(`${path}.new`, "w", 0o600);
  try {
    await handle.writeFile(`${made}\n`);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(`${path}.new`, path);
  return made;
}
