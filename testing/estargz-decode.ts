import { constants, gunzipSync } from "node:zlib";
import { type ByteString, sha256 } from "../src/bytes/index.js";
import type { CompiledToc } from "../src/estargz/index.js";
import type { TreeNode } from "../src/tree/index.js";

/** Makes the whole data file from the units, with Node's zlib, and checks each digest. */
export function decodeUnits(blob: Buffer, compiled: CompiledToc): Buffer {
  const data = Buffer.alloc(compiled.dataSize);
  for (const unit of compiled.units) {
    const stream = blob.subarray(unit.blobOffset, unit.blobOffset + unit.blobLength);
    const decoded = gunzipSync(stream, { finishFlush: constants.Z_SYNC_FLUSH });
    const piece = decoded.subarray(unit.innerOffset, unit.innerOffset + unit.dataLength);
    if (sha256(piece) !== `sha256:${Buffer.from(unit.sha256).toString("hex")}`) {
      throw new Error(`The unit at ${unit.blobOffset} has the wrong digest`);
    }
    piece.copy(data, unit.dataOffset);
  }
  return data;
}

/** One line for each path: kind, permissions, owner, seconds, and what the kind has. */
export function listTree(compiled: CompiledToc, data: Buffer): Record<string, string> {
  const lines: Record<string, string> = {};
  const stack: [string, TreeNode][] = [["/", compiled.root]];
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    const [path, node] = next;
    const { kind, mode, uid, gid, mtime, xattrs } = node;
    const attributes = xattrs.map(({ name, value }) => `${name}=${value.toString("hex")}`);
    lines[path] = [kind, mode.toString(8), `${uid}:${gid}`, mtime.seconds, special(node, data), ...attributes]
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
  return sha256(data.subarray(start, start + Number(node.size))).slice(7, 19);
}

function textOf(name: ByteString): string {
  return Buffer.from(name, "latin1").toString("utf8");
}
