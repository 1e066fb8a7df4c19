import { type ByteString, sha256 } from "../../src/bytes/index.js";
import type { DirectoryNode, TreeNode } from "../../src/tree/index.js";

/** One line for each path: kind, permissions, owner, seconds, and what the kind has. */
export function treeLines(root: DirectoryNode, data: Buffer): Record<string, string> {
  const lines: Record<string, string> = {};
  const stack: [string, TreeNode][] = [["/", root]];
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    const [path, node] = next;
    const attributes = node.xattrs.map(({ name, value }) => `${name}=${value.toString("hex")}`);
    const owner = `${node.uid}:${node.gid}`;
    lines[path] = [
      node.kind,
      node.mode.toString(8),
      owner,
      node.mtime.seconds,
      special(node, data),
      ...attributes,
    ]
      .filter((word) => word !== "")
      .join(" ");
    if (node.kind !== "directory") continue;
    for (const [name, child] of node.children)
      stack.push([`${path === "/" ? "" : path}/${textOf(name)}`, child]);
  }
  return lines;
}

function special(node: TreeNode, data: Buffer): string {
  if (node.kind === "symlink") return `-> ${node.target}`;
  if (node.kind === "character" || node.kind === "block") return `${node.major},${node.minor}`;
  if (node.kind !== "file") return "";
  const start = Number(node.dataOffset ?? 0n);
  return `${node.size} ${sha256(data.subarray(start, start + Number(node.size))).slice(7, 19)}`;
}

function textOf(name: ByteString): string {
  return Buffer.from(name, "latin1").toString("utf8");
}
