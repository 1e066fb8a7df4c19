import { readFile } from "node:fs/promises";
import { statePaths } from "./paths.js";

/**
 * Numbers of the layers that lie below an overlay, by the mounts of this process's namespace: where containerd and its
 * shims mount what containers run on. The kernel may cut a very long list of lower folders.
 */
export async function layersInUse(state: string): Promise<Set<number>> {
  return parseLayersInUse(await readFile("/proc/self/mountinfo", "utf8"), statePaths(state).layers);
}

/** From the text of /proc/self/mountinfo (proc(5)). */
export function parseLayersInUse(text: string, folder: string): Set<number> {
  const numbers = new Set<number>();
  for (const line of text.split("\n")) {
    if (!line.includes(" - overlay ")) continue;
    for (let at = line.indexOf(`${folder}/`); at >= 0; at = line.indexOf(`${folder}/`, at + 1)) {
      const number = /^\d+/.exec(line.slice(at + folder.length + 1, at + folder.length + 12));
      if (number !== null) numbers.add(Number(number[0]));
    }
  }
  return numbers;
}
