import { lstat, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { capabilitiesOfMask, type LinuxDevice } from "../spec/index.js";

/** Places in /dev that are mounts and links of the container's own. */
const leftOut = ["pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev", "console"];
const DEVICES_MAX = 10_000;
const DEPTH_MAX = 8;
const MODE_BITS = 0o777;

/** What this process may hand on. */
export async function ownCapabilities(): Promise<readonly string[]> {
  const status = await readFile("/proc/self/status", "utf8");
  return capabilitiesOfMask(/^CapEff:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? "0");
}

/** The devices of this machine, for containers that may use all. */
export async function hostDevices(): Promise<readonly LinuxDevice[]> {
  const found: LinuxDevice[] = [];
  await collect("/dev", { depth: 0, found });
  return found;
}

async function collect(
  folder: string,
  walk: { readonly depth: number; readonly found: LinuxDevice[] },
): Promise<void> {
  if (walk.depth > DEPTH_MAX) return;
  for (const entry of (await readdir(folder, { withFileTypes: true })).sort((a, b) =>
    a.name < b.name ? -1 : 1,
  )) {
    const path = join(folder, entry.name);
    if (walk.depth === 0 && leftOut.includes(entry.name)) continue;
    if (entry.isDirectory()) await collect(path, { ...walk, depth: walk.depth + 1 });
    else if (entry.isCharacterDevice() || entry.isBlockDevice()) {
      if (walk.found.length >= DEVICES_MAX) return;
      const device = await deviceAt(path);
      if (device !== undefined) walk.found.push(device);
    }
  }
}

async function deviceAt(path: string): Promise<LinuxDevice | undefined> {
  const facts = await lstat(path).catch(() => undefined); // Devices come and go.
  if (facts === undefined) return undefined;
  const { rdev, mode, uid, gid } = facts;
  return {
    path,
    type: facts.isBlockDevice() ? "b" : "c",
    // Linux's layout of dev_t (makedev(3)).
    major: (rdev >>> 8) & 0xfff,
    minor: (rdev & 0xff) | ((rdev >>> 12) & 0xfff00),
    fileMode: mode & MODE_BITS,
    uid,
    gid,
  };
}
