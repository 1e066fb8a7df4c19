/**
 * The tree of a layer as values: what every format produces and what the EROFS writer takes.
 */
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
