import type { ByteString } from "../bytes/index.js";
import type { FileTime, TreeNode, Xattr } from "../tree/index.js";
import type { TarEntry } from "./entry.js";
import { XATTR_NAME_BYTES_MAX, XATTR_VALUE_BYTES_MAX } from "./limits.js";
import { aclAfterChmod } from "./posix-acl.js";
import { refuseTar, refuseTarKind, shown } from "./refusal.js";

/** The id -1 means "leave as it is" to a kernel. */
const OWNER_MAX = 2 ** 32 - 2;
const SYMLINK_MODE = 0o777;
const EPOCH: FileTime = { seconds: 0n, nanoseconds: 0 };
/** The largest 64-bit number of nanoseconds; containerd sets what is behind it, and before 1970, to 1970. */
const NANOSECONDS_MAX = 2n ** 63n - 1n;

const CAPABILITY = "security.capability";
const ACL_ACCESS = "system.posix_acl_access";
const ACL_DEFAULT = "system.posix_acl_default";
/** Revisions of vfs_cap_data in its first word, by length; Linux takes no other. */
const capabilityRevisions: Readonly<Record<number, number>> = { 20: 2, 24: 3 };

/** The time that an unpacking containerd gives an entry. */
export function boundTime(time: FileTime): FileTime {
  const nanoseconds = time.seconds * 1_000_000_000n + BigInt(time.nanoseconds);
  return time.seconds < 0n || nanoseconds > NANOSECONDS_MAX ? EPOCH : time;
}

/**
 * Gives an inode what an entry says, in containerd's order: owner, attributes, mode, time. The inode may have had an
 * entry before: a directory that comes again, or the target of a hard link.
 * @returns how many attributes were left out, as containerd leaves them out
 * @throws INVALID_ARGUMENT `tar-owner`, `tar-xattr`, `tar-acl`; UNIMPLEMENTED `tar-acl-default`
 */
export function applyFacts(node: TreeNode, entry: TarEntry): number {
  for (const id of [entry.uid, entry.gid]) {
    if (!(id >= 0 && id <= OWNER_MAX)) {
      throw refuseTar("tar-owner", `want an owner from 0 to ${OWNER_MAX}, got ${id}`, entry.headerOffset);
    }
  }
  node.uid = entry.uid;
  node.gid = entry.gid;
  node.mode = node.kind === "symlink" ? SYMLINK_MODE : entry.mode;
  node.mtime = boundTime(entry.mtime);
  if (node.xattrs.length === 0 && entry.xattrs.length === 0) return 0;
  const kept = new Map<ByteString, Xattr>();
  for (const xattr of node.xattrs) {
    // A change of the owner takes the capabilities of all but directories.
    if (node.kind === "directory" || xattr.name !== CAPABILITY) kept.set(xattr.name, xattr);
  }
  let left = 0;
  for (const xattr of entry.xattrs) {
    if (isTaken(node, xattr, entry.headerOffset)) kept.set(xattr.name, xattr);
    else left += 1;
  }
  settleAcl(node, kept, entry.headerOffset);
  node.xattrs = [...kept.values()];
  return left;
}

/** The mode is set last, and takes part of an ACL along: also of one that the inode had before. */
function settleAcl(node: TreeNode, kept: Map<ByteString, Xattr>, offset: number): void {
  const acl = kept.get(ACL_ACCESS as ByteString);
  if (acl === undefined) return;
  const value = aclAfterChmod(acl.value, node.mode);
  if (value === "malformed") throw refuseTar("tar-acl", "an ACL is malformed", offset);
  if (value === undefined) kept.delete(acl.name);
  else kept.set(acl.name, { name: acl.name, value });
}

/** What containerd's lsetxattr does: true if it is stored, false if it is left out with a warning. */
function isTaken(node: TreeNode, { name, value }: Xattr, offset: number): boolean {
  if (name.startsWith("trusted.")) return false;
  if (name.startsWith("user.") && node.kind !== "file" && node.kind !== "directory") return false;
  const isTooLong = name.length > XATTR_NAME_BYTES_MAX || value.length > XATTR_VALUE_BYTES_MAX;
  if (name === "" || name === "user." || name === "security." || isTooLong) {
    throw refuseTar("tar-xattr", `xattr ${shown(name)} of ${value.length} bytes can't be stored`, offset);
  }
  if (name === CAPABILITY && !isCapability(value)) {
    throw refuseTar("tar-xattr", `the capabilities ${value.toString("hex", 0, 32)} are malformed`, offset);
  }
  if (name !== ACL_ACCESS && name !== ACL_DEFAULT) return true;
  if (node.kind === "symlink") return false;
  if (name === ACL_ACCESS) return true;
  if (node.kind !== "directory") throw refuseTar("tar-acl", "a default ACL is not on a directory", offset);
  // Whatever is unpacked into such a directory later gets entries of the list.
  throw refuseTarKind("tar-acl-default", "a directory has a default ACL", offset);
}

function isCapability(value: Buffer): boolean {
  const revision = capabilityRevisions[value.length];
  return revision !== undefined && value.readUInt32LE(0) >>> 24 === revision;
}
