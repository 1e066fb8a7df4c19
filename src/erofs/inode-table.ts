import { type ByteString, bytesOfText } from "../bytes/index.js";
import { invalidArgument } from "../errors/index.js";
import type { DirectoryNode, TreeNode } from "../tree/index.js";
import { checkName, checkNode, shown } from "./check-node.js";
import type { DirectoryNames } from "./directory.js";

/** All inodes of a tree, each once: the root first, then those of each directory next to each other. */
export interface InodeTable {
  readonly nodes: readonly TreeNode[];
  /** By inode: names that point at it; for a directory as Linux counts: 2 and one for each directory in it. */
  readonly linkCounts: readonly number[];
  /** By inode; only for directories. */
  readonly directories: readonly (DirectoryNames | undefined)[];
}

const SELF = "." as ByteString;
const PARENT = ".." as ByteString;

/** Numbers the inodes of a tree without recursion. @throws INVALID_ARGUMENT for names and inodes that Linux can't have */
export function listInodes(root: DirectoryNode): InodeTable {
  checkNode(root, bytesOfText("/"));
  const table = new InodeList(root);
  for (let inode = 0; inode < table.nodes.length; inode += 1) {
    const node = table.nodes[inode]!;
    table.directories.push(node.kind === "directory" ? table.enter(node, inode) : undefined);
  }
  return table;
}

class InodeList implements InodeTable {
  readonly nodes: TreeNode[];
  readonly linkCounts: number[] = [2];
  readonly directories: (DirectoryNames | undefined)[] = [];
  readonly #parents: number[] = [0];
  readonly #numbers = new Map<TreeNode, number>();

  constructor(root: DirectoryNode) {
    this.nodes = [root];
    this.#numbers.set(root, 0);
  }

  enter(directory: DirectoryNode, self: number): DirectoryNames {
    const names = [SELF, PARENT];
    for (const name of directory.children.keys()) {
      checkName(name);
      names.push(name);
    }
    // The default order is that of UTF-16 units, which is the order of the bytes where each stands in one unit.
    names.sort();
    const inodes = new Uint32Array(names.length);
    for (let index = 0; index < names.length; index += 1) {
      const name = names[index]!;
      if (name === SELF) inodes[index] = self;
      else if (name === PARENT) inodes[index] = this.#parents[self]!;
      else inodes[index] = this.#link(directory.children.get(name)!, { name, parent: self });
    }
    return { names, inodes };
  }

  /** The number of a child, which gets one name more. */
  #link(child: TreeNode, { name, parent }: { name: ByteString; parent: number }): number {
    const known = this.#numbers.get(child);
    if (known !== undefined && child.kind === "directory") {
      throw invalidArgument(
        `Cannot store directory ${shown(name)}: one name is wanted for it, got a second`,
        {
          reason: "directory-linked-twice",
          subject: shown(name),
        },
      );
    }
    if (known !== undefined) {
      this.linkCounts[known]! += 1;
      return known;
    }
    checkNode(child, name);
    const number = this.nodes.length;
    this.#numbers.set(child, number);
    this.nodes.push(child);
    this.#parents.push(parent);
    this.linkCounts.push(child.kind === "directory" ? 2 : 1);
    if (child.kind === "directory") this.linkCounts[parent]! += 1;
    return number;
  }
}
