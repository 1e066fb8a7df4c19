/**
 * The tree of a layer as values: what every format produces and what the EROFS writer takes.
 */

export { parseFileTime } from "./file-time.js";
export type {
  DeviceNode,
  DirectoryNode,
  FileNode,
  FileTime,
  SpecialNode,
  SymlinkNode,
  TreeNode,
  Xattr,
} from "./node.js";
export { type OverlayFormReport, toOverlayForm } from "./to-overlay-form.js";
export { type WalkedName, walkTree } from "./walk-tree.js";
