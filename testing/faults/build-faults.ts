import { createHash } from "node:crypto";
import { mkdir, readFile, rename, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { command } from "../rig/command.js";

const source = fileURLToPath(new URL("../../../testing/faults/fail-calls.c", import.meta.url));

/** Path of the library that makes calls fail, compiled once for each state of its source. */
export async function buildFaults(): Promise<string> {
  const hash = createHash("sha256")
    .update(await readFile(source))
    .digest("hex")
    .slice(0, 16);
  const folder = join(tmpdir(), "lazuli-faults");
  const library = join(folder, `fail-calls-${hash}.so`);
  const isThere = await stat(library).then(
    () => true,
    () => false, // Then it is compiled.
  );
  if (isThere) return library;
  await mkdir(folder, { recursive: true });
  const fresh = `${library}.${process.pid}`;
  await command("gcc", ["-shared", "-fPIC", "-O1", "-o", fresh, source, "-ldl"]);
  await rename(fresh, library);
  return library;
}
