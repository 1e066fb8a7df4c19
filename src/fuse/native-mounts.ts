import type { CancellableCall } from "./binding.js";

/** Ids from the first on are ids from the second on; the third is how many. */
export type NativeIdRange = readonly [inside: number, outside: number, size: number];

/**
 * The mount API with a descriptor for each step, and what stands around it. A mount made here is nowhere until it is
 * attached, and goes when its descriptor is closed. All calls run off the JS thread; a failed one throws an Error with
 * `code` and `syscall`, whose message ends in what the file system said. The caller owns each descriptor.
 */
export interface NativeMounts {
  /**
   * fsopen(2), fsconfig(2) for each setting, fsmount(2). A value is a text of at most 255 bytes, the number of an open
   * file, or undefined for a flag. `attributes` are MOUNT_ATTR_*.
   */
  make(
    type: string,
    settings: readonly (readonly [string, string | number | undefined])[],
    attributes: number,
  ): Promise<number>;
  /** Fails where the file system does not take this setting. */
  trySetting(type: string, key: string, value: string | number | undefined): Promise<void>;
  /** open_tree(2) with OPEN_TREE_CLONE: a copy of what is mounted at a path, from there on. */
  clone(path: string, isRecursive: boolean): Promise<number>;
  /** mount_setattr(2) of MOUNT_ATTR_*; MOUNT_ATTR_IDMAP takes a user namespace. */
  setAttributes(
    mountFd: number,
    attributes: number,
    userNamespaceFd: number | undefined,
    isRecursive: boolean,
  ): Promise<void>;
  /** move_mount(2). */
  attach(mountFd: number, target: string): Promise<void>;
  /** mount(2) in a thread whose current folder is `folder`, where relative paths in the options begin. */
  mountFrom(
    folder: string,
    source: string,
    target: string,
    type: string,
    flags: number,
    data: string,
  ): Promise<void>;
  /** open(2) with O_PATH. */
  openPlace(path: string): Promise<number>;
  /** The real path of `inside`, which neither links nor ".." lead out of `root`. */
  resolve(root: string, inside: string): Promise<string>;
  /** A loop device on a file; it goes when the descriptor is closed and nothing is mounted from it. */
  attachLoop(file: string, isReadOnly: boolean): Promise<{ path: string; fd: number }>;
  /** Whether the kernel takes the open loop device apart once nobody has it open or mounted. */
  setLoopAutoclear(device: number, isOn: boolean): Promise<void>;
  /** A user namespace without processes; the maps are in the form of /proc/<pid>/uid_map. */
  userNamespace(uidMap: string, gidMap: string): Promise<number>;
  /** Gives each inode of a tree its mapped owner. Ends with the inodes changed; EOVERFLOW for an id without a place. */
  remap(
    root: string,
    uids: readonly NativeIdRange[],
    gids: readonly NativeIdRange[],
  ): CancellableCall<number>;
}
