import { readdir, readFile } from "node:fs/promises";

/** What the processes with such a command line have in memory for themselves: shared pages are divided. @returns MiB */
export async function processesOf(matches: (commandLine: string) => boolean): Promise<number> {
  let kibibytes = 0;
  for (const name of await readdir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const line = (await readFile(`/proc/${name}/cmdline`, "utf8")).replaceAll("\0", " ");
      if (!matches(line)) continue;
      const rollup = await readFile(`/proc/${name}/smaps_rollup`, "utf8");
      kibibytes += Number(/^Pss:\s+(\d+) kB/m.exec(rollup)?.[1] ?? 0);
    } catch {
      // It has ended.
    }
  }
  return kibibytes / 1024;
}
