import { readFile, realpath, statfs } from "node:fs/promises";
import { failedPrecondition } from "../errors/index.js";

/** BTRFS_SUPER_MAGIC of linux/magic.h. */
const BTRFS_MAGIC = 0x9123683e;

/** The device of the btrfs that holds a folder, as its mount names it. @throws FAILED_PRECONDITION where it is no btrfs */
export async function btrfsDevice(folder: string): Promise<string> {
  const { type } = await statfs(folder);
  const device = type === BTRFS_MAGIC ? await mountedDevice(await realpath(folder)) : undefined;
  if (device === undefined) {
    throw failedPrecondition(`Cannot keep subvolumes in ${folder}: want a btrfs, got another file system`, {
      subject: folder,
      reason: "root-not-btrfs",
      hint: "Mount a btrfs there, or choose the snapshotter overlayfs",
    });
  }
  return device;
}

/** The source of the mount that a path lies in; of those on one place the last is on top (proc(5), mountinfo). */
async function mountedDevice(path: string): Promise<string | undefined> {
  let longest = "";
  let device: string | undefined;
  for (const line of (await readFile("/proc/self/mountinfo", "utf8")).split("\n")) {
    const fields = line.split(" ");
    const dash = fields.indexOf("-", 6);
    if (dash < 0) continue;
    const target = unescapeField(fields[4] ?? "");
    const isAbove = path === target || path.startsWith(target.endsWith("/") ? target : `${target}/`);
    if (!isAbove || target.length < longest.length) continue;
    longest = target;
    device = fields[dash + 1] === "btrfs" ? unescapeField(fields[dash + 2] ?? "") : undefined;
  }
  return device;
}

/** Spaces, tabs, line breaks and backslashes are written as \ooo. */
function unescapeField(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_match, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
}
