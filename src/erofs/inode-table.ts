import type { ByteString } from "../bytes/index.js";
import { textOfBytes } from "../bytes/index.js";
import { assert, invalidArgument } from "../errors/index.js";
import type { DirectoryNode, TreeNode } from "../tree/index.js";
import type { DirectoryEntry } from "./directory.js";
import { fileTypes, NAME_LENGTH_MAX } from "./layout.js";

/** All inodes of a tree, each once, with the names of the directories among them. */
export interface InodeTable {
  /** The root stands first. */
  readonly nodes: readonly TreeNode[];
  /** By inode: names that point at it; for a directory as Linux counts: 2 and one for each directory in it. */
  readonly linkCounts: Uint32Array;
  /** By inode; only for directories. */
  readonly entries: readonly (readonly DirectoryEntry[] | undefined)[];
}

/** Numbers the inodes of a tree, parents before children, without recursion. @throws INVALID_ARGUMENT for a bad name */
export function listInodes(root: DirectoryNode): InodeTable {
  const nodes: TreeNode[] = [root];
  const links: number[] = [2];
  const entries: (DirectoryEntry[] | undefined)[] = [];
  const numbers = new Map<TreeNode, number>();
  const parents: number[] = [0];
  for (let inode = 0; inode < nodes.length; inode += 1) {
    const node = nodes[inode]!;
    if (node.kind !== "directory") {
      entries.push(undefined);
      continue;
    }
    const own: DirectoryEntry[] = [
      { name: "." as ByteString, inode, fileType: fileTypes.directory },
      { name: ".." as ByteString, inode: parents[inode]!, fileType: fileTypes.directory },
    ];
    for (const [name, child] of node.children) {
      checkName(name);
      let number = child.kind === "directory" ? undefined : numbers.get(child);
      if (number === undefined) {
        number = nodes.length;
        nodes.push(child);
        parents.push(inode);
        links.push(child.kind === "directory" ? 2 : 0);
        if (child.kind === "directory") links[inode]! += 1;
        else numbers.set(child, number);
      }
      if (child.kind !== "directory") links[number]! += 1;
      own.push({ name, inode: number, fileType: fileTypes[child.kind] });
    }
    entries.push(own);
  }
  assert(entries.length === nodes.length, "each inode was looked at once");
  return { nodes, linkCounts: Uint32Array.from(links), entries };
}

function checkName(name: ByteString): void {
  const bad =
    name.length === 0 ||
    name.length > NAME_LENGTH_MAX ||
    name === "." ||
    name === ".." ||
    name.includes("/") ||
    name.includes("\0");
  if (!bad) return;
  const shown = JSON.stringify(textOfBytes(name).slice(0, 80));
  throw invalidArgument(`Cannot store file name ${shown}: 1 to ${NAME_LENGTH_MAX} bytes without "/" are wanted`, {
    reason: "file-name-invalid",
  });
}
