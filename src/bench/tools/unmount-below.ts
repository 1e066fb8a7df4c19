import { readFile } from "node:fs/promises";
import { command } from "./command.js";

/** Takes away the mounts that a stopped daemon left below a folder, deepest first. */
export async function unmountBelow(folder: string): Promise<void> {
  const mounts = (await readFile("/proc/self/mountinfo", "utf8"))
    .split("\n")
    .map((line) => line.split(" ")[4] ?? "")
    .filter((target) => target === folder || target.startsWith(`${folder}/`));
  for (const target of mounts.reverse()) await command("umount", ["-l", target], { allow: [1, 32] });
}
