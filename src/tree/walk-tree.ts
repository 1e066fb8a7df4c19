import type { ByteString } from "../bytes/index.js";
import type { DirectoryNode, TreeNode } from "./node.js";

/** One name of a tree. A hard-linked inode comes once for each of its names. */
export interface WalkedName {
  /** Empty for the root. */
  readonly name: ByteString;
  readonly node: TreeNode;
  /** Undefined for the root. */
  readonly parent: DirectoryNode | undefined;
}

/**
 * All names of a tree, a directory before what is in it, without recursion. A directory's children may be changed until
 * the walk is asked for the next name.
 */
export function* walkTree(root: DirectoryNode): Generator<WalkedName, void, undefined> {
  yield { name: "" as ByteString, node: root, parent: undefined };
  const waiting: DirectoryNode[] = [root];
  for (let parent = waiting.pop(); parent !== undefined; parent = waiting.pop()) {
    for (const [name, node] of parent.children) {
      yield { name, node, parent };
      if (node.kind === "directory") waiting.push(node);
    }
  }
}
