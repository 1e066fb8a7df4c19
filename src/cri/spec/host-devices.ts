import { constants, lstat, readdir } from "node:fs/promises";
import { basename, join } from "node:path/posix";
import { invalidArgument } from "../../errors/index.js";
import type { LinuxDevice } from "../../spec/index.js";

const { S_IFMT, S_IFBLK, S_IFCHR, S_IFDIR } = constants;
/** Folders of /dev that every container has for itself, or that hold no devices. */
const skippedFolders = new Set(["pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev"]);
/** Devices that one folder may hold. With more, the container is refused. */
const DEVICES_MAX = 100_000;

/** The device at a path, or all below it. Links and what vanishes meanwhile are left out. @throws INVALID_ARGUMENT `device-invalid` */
export async function hostDevices(path: string): Promise<readonly LinuxDevice[]> {
  const facts = await lstat(path, { bigint: true }).catch((cause: unknown) => {
    throw deviceInvalid(path, cause instanceof Error ? cause.message : String(cause));
  });
  if ((Number(facts.mode) & S_IFMT) !== S_IFDIR) {
    const device = deviceOf(path, facts);
    if (device === undefined) throw deviceInvalid(path, "not a device node");
    return [device];
  }
  const devices: LinuxDevice[] = [];
  const folders = [path];
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    for (const entry of (await readdir(folder, { withFileTypes: true })).sort(byName)) {
      const place = join(folder, entry.name);
      if (entry.isDirectory()) {
        if (!skippedFolders.has(entry.name)) folders.push(place);
        continue;
      }
      const device = basename(place) === "console" ? undefined : await deviceAt(place);
      if (device !== undefined) devices.push(device);
      if (devices.length > DEVICES_MAX) throw deviceInvalid(path, `want ${DEVICES_MAX} devices at most`);
    }
  }
  return devices;
}

function byName(left: { readonly name: string }, right: { readonly name: string }): number {
  return left.name < right.name ? -1 : 1;
}

async function deviceAt(path: string): Promise<LinuxDevice | undefined> {
  const facts = await lstat(path, { bigint: true }).catch(() => undefined); // Removed since it was listed.
  return facts === undefined ? undefined : deviceOf(path, facts);
}

interface Facts {
  readonly mode: bigint;
  readonly rdev: bigint;
  readonly uid: bigint;
  readonly gid: bigint;
}

function deviceOf(path: string, { mode, rdev, uid, gid }: Facts): LinuxDevice | undefined {
  const format = Number(mode) & S_IFMT;
  if (format !== S_IFBLK && format !== S_IFCHR) return undefined;
  // gnu_dev_major() and gnu_dev_minor() of glibc.
  const major = ((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & 0xffff_f000n);
  const minor = (rdev & 0xffn) | ((rdev >> 12n) & 0xffff_ff00n);
  return {
    path,
    type: format === S_IFBLK ? "b" : "c",
    major: Number(major),
    minor: Number(minor),
    fileMode: Number(mode) & ~S_IFMT,
    uid: Number(uid),
    gid: Number(gid),
  };
}

function deviceInvalid(path: string, problem: string): Error {
  return invalidArgument(`Cannot use the device ${JSON.stringify(path)}: ${problem}`, {
    subject: path,
    reason: "device-invalid",
  });
}
