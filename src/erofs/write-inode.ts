import type { TreeNode } from "../tree/index.js";
import { fileExtent } from "./file-extent.js";
import * as layout from "./layout.js";
import type { Placement, PlaceOptions } from "./place-inodes.js";
import { xattrCount } from "./xattrs.js";

/** Writes one inode with its attributes and the chunks of a file; the own data of others is written apart. */
export function writeInode(
  image: Buffer,
  inode: number,
  parts: PlaceOptions & { placement: Placement },
): void {
  const { table, placement } = parts;
  const node = table.nodes[inode]!;
  const at = placement.slots[inode]! * layout.SLOT_SIZE;
  const xattrs = placement.xattrs.get(inode);
  image.writeUInt16LE(1 | (placement.layouts[inode]! << 1), at);
  image.writeUInt16LE(xattrCount(xattrs), at + 2);
  image.writeUInt16LE(layout.modeBits[node.kind] | node.mode, at + 4);
  if (node.kind === "file") image.writeBigUInt64LE(node.size, at + 8);
  else image.writeUInt32LE(placement.ownSizes[inode]!, at + 8);
  image.writeUInt32LE(inode + 1, at + 20);
  image.writeUInt32LE(node.uid, at + 24);
  image.writeUInt32LE(node.gid, at + 28);
  image.writeBigInt64LE(node.mtime.seconds, at + 32);
  image.writeUInt32LE(node.mtime.nanoseconds, at + 40);
  image.writeUInt32LE(table.linkCounts[inode]!, at + 44);
  const end = at + layout.EXTENDED_INODE_SIZE + (xattrs?.copy(image, at + layout.EXTENDED_INODE_SIZE) ?? 0);
  if (placement.layouts[inode] === layout.inodeLayouts.chunkBased)
    writeChunks(image, { node, at, end, parts });
  else image.writeUInt32LE(deviceNumber(node) || placement.ownBlocks[inode]!, at + 16);
}

function writeChunks(
  image: Buffer,
  place: { node: TreeNode; at: number; end: number; parts: PlaceOptions },
): void {
  if (place.node.kind !== "file") return;
  const extent = fileExtent(place.node, place.parts);
  image.writeUInt32LE(extent.chunkBits | layout.CHUNK_FORMAT_INDEXES, place.at + 16);
  let index = layout.roundUp(place.end, layout.CHUNK_INDEX_SIZE);
  for (let chunk = 0; chunk < extent.chunks; chunk += 1) {
    image.writeUInt16LE(1, index + 2);
    image.writeUInt32LE(extent.firstBlock + chunk * 2 ** extent.chunkBits, index + 4);
    index += layout.CHUNK_INDEX_SIZE;
  }
}

/** Linux's new_encode_dev(); 0 of what is no device. */
function deviceNumber(node: TreeNode): number {
  if (node.kind !== "character" && node.kind !== "block") return 0;
  return ((node.minor & 0xff) | (node.major << 8) | ((node.minor & ~0xff) << 12)) >>> 0;
}
