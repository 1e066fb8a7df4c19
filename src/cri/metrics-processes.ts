import { readdir, readFile, readlink } from "node:fs/promises";
import { join } from "node:path";

export interface DescriptorCounts {
  readonly fileDescriptors: number;
  readonly sockets: number;
}

/** Processes of a container that are looked at; the descriptors of further ones are not counted. */
const PROCESSES_MAX = 256;
/** Descriptors of one process that are looked at; further ones count as no sockets. */
const DESCRIPTORS_MAX = 1024;

/** Open files of processes. One that has ended counts nothing. */
export async function countDescriptors(
  pids: readonly number[],
  procFolder = "/proc",
): Promise<DescriptorCounts> {
  let fileDescriptors = 0;
  let sockets = 0;
  for (const pid of pids.slice(0, PROCESSES_MAX)) {
    const folder = join(procFolder, String(pid), "fd");
    const names = await readdir(folder).catch(() => []); // It has ended.
    fileDescriptors += names.length;
    for (const name of names.slice(0, DESCRIPTORS_MAX)) {
      const target = await readlink(join(folder, name)).catch(() => ""); // It was closed.
      if (target.startsWith("socket:")) sockets += 1;
    }
  }
  return { fileDescriptors, sockets };
}

/** The soft limit of open files; undefined when there is none, or the process has ended. */
export async function openFilesLimit(pid: number, procFolder = "/proc"): Promise<bigint | undefined> {
  const text = await readFile(join(procFolder, String(pid), "limits"), "latin1").catch(() => ""); // It has ended.
  const soft = /^Max open files\s+(\d{1,20})\s/m.exec(text)?.[1];
  return soft === undefined ? undefined : BigInt(soft);
}
