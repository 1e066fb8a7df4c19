import { writeFile } from "node:fs/promises";
import { command } from "./command.js";

/** Empties the page cache and the kernel's caches of names and inodes, for a cold start or read. */
export async function dropCaches(): Promise<void> {
  await command("sync", []);
  await writeFile("/proc/sys/vm/drop_caches", "3");
}
