import type { ByteString } from "../bytes/index.js";

/** Times of files are kept as the kernel has them: whole seconds (may be negative) and nanoseconds 0..999,999,999. */
export interface FileTime {
  readonly seconds: bigint;
  readonly nanoseconds: number;
}

/** An extended attribute with its full name, e.g. `security.capability`. */
export interface Xattr {
  readonly name: ByteString;
  readonly value: Buffer;
}

interface InodeFacts {
  /** Permission bits with setuid, setgid and sticky: 0 to 0o7777. */
  mode: number;
  /** 0 to 2^32-1. */
  uid: number;
  gid: number;
  mtime: FileTime;
  /** No two of the same name. */
  xattrs: readonly Xattr[];
}

export interface DirectoryNode extends InodeFacts {
  readonly kind: "directory";
  /** By name; a hard link is the same inode object under a second name. */
  readonly children: Map<ByteString, TreeNode>;
}

export interface FileNode extends InodeFacts {
  readonly kind: "file";
  size: bigint;
  /** Where the content begins in the layer's data file, a multiple of its block size; undefined when `size` is 0. */
  dataOffset: bigint | undefined;
}

export interface SymlinkNode extends InodeFacts {
  readonly kind: "symlink";
  /** 1 to 4095 bytes. */
  readonly target: ByteString;
}

export interface DeviceNode extends InodeFacts {
  readonly kind: "character" | "block";
  /** 0 to 2^12-1, as Linux has it. */
  readonly major: number;
  /** 0 to 2^20-1. */
  readonly minor: number;
}

export interface SpecialNode extends InodeFacts {
  readonly kind: "fifo" | "socket";
}

/** One inode of a layer. The tree of a layer is the directory at its root. */
export type TreeNode = DirectoryNode | FileNode | SymlinkNode | DeviceNode | SpecialNode;
