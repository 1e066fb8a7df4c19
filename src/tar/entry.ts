import type { ByteString } from "../bytes/index.js";
import type { FileTime, Xattr } from "../tree/index.js";

/**
 * `global` is a PAX global header, which Go's reader hands out and does not apply; `other` is every type that has no
 * meaning in a layer. `file` includes old GNU sparse files, whose type flag is "S".
 */
export type TarKind =
  | "file"
  | "directory"
  | "symlink"
  | "hardlink"
  | "character"
  | "block"
  | "fifo"
  | "global"
  | "other";

/** A region of a sparse file that has data. Everything between such regions reads as zeros. */
export interface SparsePart {
  /** In the file, in bytes. */
  readonly offset: number;
  readonly length: number;
}

/** One entry of an archive as Go's archive/tar reads it: extension headers are applied, names are as they stand there. */
export interface TarEntry {
  readonly kind: TarKind;
  /** One character. */
  readonly typeFlag: string;
  readonly name: ByteString;
  /** Of symbolic and hard links; else usually empty. */
  readonly linkName: ByteString;
  /** Permission bits with setuid, setgid and sticky: 0 to 0o7777. */
  readonly mode: number;
  /** Any whole number: what can be an owner is for the user of the entry to decide. */
  readonly uid: number;
  readonly gid: number;
  readonly userName: ByteString;
  readonly groupName: ByteString;
  readonly mtime: FileTime;
  /** Of `SCHILY.xattr.`, each name once. */
  readonly xattrs: readonly Xattr[];
  /** Of `LIBARCHIVE.xattr.`, which bsdtar writes beside the others and containerd does not read. */
  readonly libarchiveXattrs: readonly Xattr[];
  readonly devMajor: number;
  readonly devMinor: number;
  /** Bytes of the file as its reader sees it; 0 for all that has no contents. */
  readonly size: number;
  /** Of the first block that belongs to the entry, extension headers included. */
  readonly headerOffset: number;
  /** Where its bytes lie in the archive, a multiple of 512: all regions with data of a sparse file, one after another. */
  readonly dataOffset: number;
  readonly packedSize: number;
  /** In order and disjoint; their lengths add up to `packedSize`. Undefined for a file that is not sparse. */
  readonly sparse: readonly SparsePart[] | undefined;
}
