import { closeSync, readFileSync } from "node:fs";
import { mkdtemp, open, rmdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Mount } from "../../gen/containerd/types/mount_pb.js";
import { loadBinding, type NativeBinding } from "../fuse/index.js";
import { type MountSpec, mountAll, unmountAll } from "../mounts/index.js";
import type { Accounts } from "../spec/index.js";
import type { Waiting } from "./messages.js";

/** Longer files have no accounts that anybody looks up. */
const FILE_BYTES_MAX = 16 * 1024 * 1024;
const O_RDONLY = 0;
/** Open flag of Linux, on all of our machines. */
const O_NONBLOCK = 0o4000;
/** openat2(2): what lies outside the root can't be reached, and no magic link of /proc is followed. */
const RESOLVE = 0x10 | 0x02;

/** /etc/passwd and /etc/group of a snapshot, which is mounted read-only for it. Needs the right to mount. */
export async function readAccounts(mounts: readonly Mount[], { signal }: Waiting = {}): Promise<Accounts> {
  const binding = loadBinding();
  const target = await mkdtemp(join(tmpdir(), "lazuli-accounts-"));
  try {
    await mountAll({ binding, mounts: mounts.map(readOnly), target, signal });
    try {
      const root = await open(target, "r");
      try {
        return {
          passwd: readBelow(binding, root.fd, "etc/passwd"),
          group: readBelow(binding, root.fd, "etc/group"),
        };
      } finally {
        await root.close();
      }
    } finally {
      await unmountAll({ binding, target });
    }
  } finally {
    await rmdir(target);
  }
}

/** An overlay without its upper layer as such: two mounts must not share one. */
function readOnly({ type, source, target, options }: Mount): MountSpec {
  const upper = options.find((option) => option.startsWith("upperdir="))?.slice("upperdir=".length);
  const own = options
    .filter((option) => option !== "rw" && option !== "ro" && !/^(upperdir|workdir)=/.test(option))
    .map((option) =>
      upper !== undefined && option.startsWith("lowerdir=")
        ? `lowerdir=${upper}:${option.slice("lowerdir=".length)}`
        : option,
    );
  return { type, source, target, options: [...own, "ro"] };
}

function readBelow(binding: NativeBinding, rootFd: number, path: string): string | undefined {
  let fd: number;
  try {
    fd = binding.openat2(rootFd, path, O_RDONLY | O_NONBLOCK, 0, RESOLVE);
  } catch (thrown) {
    const { code } = thrown as NodeJS.ErrnoException;
    if (["ENOENT", "ENOTDIR", "ELOOP", "ENXIO"].includes(code ?? "")) return undefined;
    throw thrown;
  }
  try {
    const text = readFileSync(fd);
    return text.length > FILE_BYTES_MAX ? undefined : text.toString("utf8");
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === "EISDIR") return undefined;
    throw thrown;
  } finally {
    closeSync(fd);
  }
}
