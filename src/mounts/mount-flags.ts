/** MS_* of mount(2). */
export const MS_RDONLY = 1;
export const MS_NOSUID = 2;
export const MS_NODEV = 4;
export const MS_NOEXEC = 8;
export const MS_REMOUNT = 0x20;
export const MS_BIND = 0x1000;
export const MS_REC = 0x4000;

/** MOUNT_ATTR_* of fsmount(2) and mount_setattr(2). */
export const MOUNT_ATTR_IDMAP = 0x100000;

/** A property of the mount itself, in both forms of the kernel. */
interface MountFlag {
  readonly flag: number;
  readonly attribute: number;
}

/** Options that say how a mount is used, whatever the file system (mount(8), "filesystem-independent mount options"). */
export const mountFlags: ReadonlyMap<string, MountFlag> = new Map([
  ["ro", { flag: MS_RDONLY, attribute: 0x1 }],
  ["nosuid", { flag: MS_NOSUID, attribute: 0x2 }],
  ["nodev", { flag: MS_NODEV, attribute: 0x4 }],
  ["noexec", { flag: MS_NOEXEC, attribute: 0x8 }],
  ["nosymfollow", { flag: 0x100, attribute: 0x200000 }],
  ["noatime", { flag: 0x400, attribute: 0x10 }],
  ["nodiratime", { flag: 0x800, attribute: 0x80 }],
  ["strictatime", { flag: 0x1000000, attribute: 0x20 }],
]);

/** Options that take another one back. */
export const oppositeFlags: ReadonlyMap<string, string> = new Map([
  ["rw", "ro"],
  ["suid", "nosuid"],
  ["dev", "nodev"],
  ["exec", "noexec"],
  ["symfollow", "nosymfollow"],
  ["atime", "noatime"],
  ["diratime", "nodiratime"],
  ["relatime", "strictatime"],
  ["nostrictatime", "strictatime"],
]);

/** Flags of the whole file system: bits for mount(2), settings of the same name for fsconfig(2). */
export const fileSystemFlags: ReadonlyMap<string, number> = new Map([
  ["sync", 0x10],
  ["mand", 0x40],
  ["dirsync", 0x80],
  ["lazytime", 0x2000000],
]);

/** How mounts below are shared with other places (mount_namespaces(7)). */
export const propagations: ReadonlyMap<string, number> = new Map([
  ["unbindable", 0x20000],
  ["runbindable", 0x20000 | MS_REC],
  ["private", 0x40000],
  ["rprivate", 0x40000 | MS_REC],
  ["slave", 0x80000],
  ["rslave", 0x80000 | MS_REC],
  ["shared", 0x100000],
  ["rshared", 0x100000 | MS_REC],
]);

/** Options that are what mounts are anyway. */
export const plainOptions: ReadonlySet<string> = new Set(["defaults", "async", "nomand", "norelatime"]);
