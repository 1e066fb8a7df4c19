import { readdir, readlink } from "node:fs/promises";

/** Other processes that see this process's mounts, which those of a mount namespace of its own all descend from it. */
export async function processesOfNamespace(): Promise<readonly number[]> {
  const own = await readlink("/proc/self/ns/mnt");
  const found: number[] = [];
  for (const name of await readdir("/proc")) {
    const pid = Number(name);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    const namespace = await readlink(`/proc/${pid}/ns/mnt`).catch(() => ""); // It has ended meanwhile.
    if (namespace === own) found.push(pid);
  }
  return found;
}
