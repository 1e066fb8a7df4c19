import { createHash } from "node:crypto";
import { lstat, readdir, readFile, readlink } from "node:fs/promises";
import { join } from "node:path";
import { command } from "../rig/command.js";

/**
 * What two equal trees have in common, as sorted lines: names, types, modes, owners, sizes, contents, link targets,
 * devices, hard links and extended attributes, but not times.
 */
export async function treeFacts(folder: string): Promise<string[]> {
  const lines: string[] = [];
  const linked = new Map<string, string>();
  const entries = await readdir(folder, { recursive: true });
  for (const name of entries.sort()) {
    const path = join(folder, name);
    const stat = await lstat(path);
    const facts: (string | number)[] = [name, stat.mode.toString(8), stat.uid, stat.gid];
    if (stat.isFile())
      facts.push(
        stat.size,
        createHash("sha256")
          .update(await readFile(path))
          .digest("hex"),
      );
    if (stat.isSymbolicLink()) facts.push(await readlink(path));
    if (stat.isCharacterDevice() || stat.isBlockDevice()) facts.push(stat.rdev);
    if (stat.isFile() && stat.nlink > 1) {
      const inode = `${stat.dev}:${stat.ino}`;
      facts.push(`same as ${linked.get(inode) ?? "none before"}`);
      linked.set(inode, linked.get(inode) ?? name);
    }
    lines.push(facts.join("|"));
  }
  return [...lines, ...(await xattrs(folder))];
}

/** A block of lines an entry that has any, in the order of the names. */
async function xattrs(folder: string): Promise<string[]> {
  const { stdout } = await command(
    "getfattr",
    [
      "--recursive",
      "--physical",
      "--no-dereference",
      "--dump",
      "--match=^(user|security|trusted)\\.",
      "--encoding=hex",
      ".",
    ],
    { cwd: folder },
  );
  return stdout
    .split("\n\n")
    .filter((block) => block !== "")
    .sort();
}
