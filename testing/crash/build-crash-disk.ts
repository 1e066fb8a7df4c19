import { createHash } from "node:crypto";
import { mkdir, readFile, rename, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { command } from "../rig/command.js";

const source = fileURLToPath(new URL("../../../testing/crash/crash-disk.cc", import.meta.url));

/** Path of the program that is the disk, compiled once for each state of its source. */
export async function buildCrashDisk(): Promise<string> {
  const hash = createHash("sha256")
    .update(await readFile(source))
    .digest("hex")
    .slice(0, 16);
  const folder = join(tmpdir(), "lazuli-crash-disk");
  const program = join(folder, `crash-disk-${hash}`);
  const isThere = await stat(program).then(
    () => true,
    () => false, // Then it is compiled.
  );
  if (isThere) return program;
  await mkdir(folder, { recursive: true });
  const fresh = `${program}.${process.pid}`;
  await command("g++", ["-std=c++20", "-O1", "-Wall", "-Wextra", "-Werror", "-o", fresh, source]);
  await rename(fresh, program);
  return program;
}
