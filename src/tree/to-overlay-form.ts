import { type ByteString, bytesOfText } from "../bytes/index.js";
import type { DeviceNode, DirectoryNode, FileTime, TreeNode, Xattr } from "./node.js";
import { walkTree } from "./walk-tree.js";

/** What a layer had that its mounted form has in another way, or not at all. */
export interface OverlayFormReport {
  /** Whiteout markers that became devices 0:0. */
  readonly whiteouts: number;
  readonly opaqueDirectories: number;
  /** Names beginning with `.wh.` that hide nothing: AUFS's own, malformed ones, and those of names that exist here. */
  readonly droppedMarkers: number;
  /** Attributes with which a layer would command overlayfs. */
  readonly droppedOverlayXattrs: number;
  /** Attributes of families that no file system of a container takes; an unpacking containerd leaves them out, too. */
  readonly droppedForeignXattrs: number;
}

type Counts = { -readonly [Key in keyof OverlayFormReport]: number };

const MARKER = ".wh.";
/** AUFS's own names; one of them marks its directory as opaque. */
const META_MARKER = ".wh..wh.";
const OPAQUE_MARKER = ".wh..wh..opq";
const OPAQUE: Xattr = { name: bytesOfText("trusted.overlay.opaque"), value: Buffer.from("y", "latin1") };

/** An unpacking containerd sets times before 1970 to this one, and a lazy tree is to be equal to the unpacked one. */
const EPOCH: FileTime = { seconds: 0n, nanoseconds: 0 };

const overlayFamilies = ["trusted.overlay.", "user.overlay."];
const knownFamilies = ["user.", "trusted.", "security."];
const knownNames = ["system.posix_acl_access", "system.posix_acl_default"];

/**
 * Turns a tree as a layer's archive has it into one as overlayfs wants it for a lower directory, in place: OCI whiteouts
 * (image-spec layer.md, "Whiteouts") become devices 0:0 and opaque directories, and nothing that the layer itself says
 * to overlayfs stays. Call it once for a tree.
 */
export function toOverlayForm(root: DirectoryNode): OverlayFormReport {
  const counts: Counts = {
    whiteouts: 0,
    opaqueDirectories: 0,
    droppedMarkers: 0,
    droppedOverlayXattrs: 0,
    droppedForeignXattrs: 0,
  };
  for (const { node } of walkTree(root)) {
    // A hard-linked inode comes again, and then has nothing left to drop.
    if (node.xattrs.length > 0) dropXattrs(node, counts);
    if (node.mtime.seconds < 0n) node.mtime = EPOCH;
    if (node.kind === "directory") convertMarkers(node, counts);
  }
  return counts;
}

function dropXattrs(node: TreeNode, counts: Counts): void {
  const kept = node.xattrs.filter(({ name }) => {
    if (overlayFamilies.some((family) => name.startsWith(family))) {
      counts.droppedOverlayXattrs += 1;
      return false;
    }
    const isKnown =
      knownNames.includes(name) ||
      knownFamilies.some((family) => name.startsWith(family) && name.length > family.length);
    if (!isKnown) counts.droppedForeignXattrs += 1;
    return isKnown;
  });
  if (kept.length < node.xattrs.length) node.xattrs = kept;
}

function convertMarkers(directory: DirectoryNode, counts: Counts): void {
  const markers: ByteString[] = [];
  for (const name of directory.children.keys()) if (name.startsWith(MARKER)) markers.push(name);
  for (const marker of markers) {
    const mark = directory.children.get(marker)!;
    directory.children.delete(marker);
    const hidden = marker.slice(MARKER.length) as ByteString;
    if (marker === OPAQUE_MARKER) {
      directory.xattrs = [...directory.xattrs, OPAQUE];
      counts.opaqueDirectories += 1;
    } else if (isHidable(marker, hidden) && !directory.children.has(hidden)) {
      directory.children.set(hidden, whiteout(mark));
      counts.whiteouts += 1;
    } else {
      counts.droppedMarkers += 1;
    }
  }
}

function isHidable(marker: ByteString, hidden: ByteString): boolean {
  return !marker.startsWith(META_MARKER) && hidden !== "" && hidden !== "." && hidden !== "..";
}

function whiteout(mark: TreeNode): DeviceNode {
  return { kind: "character", mode: 0, uid: 0, gid: 0, mtime: mark.mtime, xattrs: [], major: 0, minor: 0 };
}
