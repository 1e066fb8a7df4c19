import type { DirectoryNode, FileTime } from "../tree/index.js";
import { writeDirectory } from "./directory.js";
import { dataBlocks } from "./file-extent.js";
import { listInodes } from "./inode-table.js";
import * as layout from "./layout.js";
import { type Placement, type PlaceOptions, placeInodes } from "./place-inodes.js";
import { writeSuperblock } from "./superblock.js";
import { writeInode } from "./write-inode.js";

export interface WriteErofsOptions {
  readonly root: DirectoryNode;
  readonly blockSize: layout.BlockSize;
  /** Bytes of the data file, which is the image's extra device 1: below 2^32 blocks. */
  readonly dataSize: number;
  /** Only a note in the superblock. The start of 1970 if not given, so that the same tree gives the same bytes. */
  readonly buildTime?: FileTime;
}

const NO_TIME: FileTime = { seconds: 0n, nanoseconds: 0 };

/**
 * Writes the meta image of a layer: an EROFS image (Linux 5.16 with 4096-byte blocks, 6.4 with 512) that holds all
 * metadata, while the content of its files lies at their `dataOffset` in extra device 1. The same tree gives the same
 * bytes, in whatever order its children and attributes were put in.
 * @throws INVALID_ARGUMENT, RESOURCE_EXHAUSTED, UNIMPLEMENTED with a reason where EROFS can't hold the tree
 */
export function writeErofs(options: WriteErofsOptions): Buffer {
  const { blockSize, dataSize } = options;
  const blocks = dataBlocks(dataSize, blockSize);
  const table = listInodes(options.root);
  const placement = placeInodes({ table, blockSize, dataSize });
  const image = Buffer.alloc(placement.imageSize);
  const parts = { table, blockSize, dataSize, placement };
  for (let inode = 0; inode < table.nodes.length; inode += 1) {
    writeInode(image, inode, parts);
    writeOwnData(image, inode, parts);
  }
  writeSuperblock(image, {
    blockSize,
    inodeCount: table.nodes.length,
    rootSlot: placement.slots[0]!,
    dataBlocks: blocks,
    hasXattrs: placement.xattrs.size > 0,
    buildTime: options.buildTime ?? NO_TIME,
  });
  return image;
}

/** Writes what a directory or symbolic link holds, in its blocks or behind the inode. */
function writeOwnData(image: Buffer, inode: number, parts: PlaceOptions & { placement: Placement }): void {
  const { table, blockSize, placement } = parts;
  const node = table.nodes[inode]!;
  const start = placement.ownBlocks[inode]! * blockSize;
  if (node.kind === "symlink") {
    const isInline = placement.layouts[inode] === layout.inodeLayouts.flatInline;
    image.write(node.target, isInline ? tailOffset(placement, inode) : start, "latin1");
    return;
  }
  if (node.kind !== "directory") return;
  const isInline = placement.layouts[inode] === layout.inodeLayouts.flatInline;
  const inlineBlock = isInline ? Math.floor(placement.ownSizes[inode]! / blockSize) : -1;
  writeDirectory({
    image,
    directory: table.directories[inode]!,
    blockSize,
    blockOffset: (block) =>
      block === inlineBlock ? tailOffset(placement, inode) : start + block * blockSize,
    kinds: table.nodes,
    slots: placement.slots,
  });
}

function tailOffset(placement: Placement, inode: number): number {
  const xattrs = placement.xattrs.get(inode)?.length ?? 0;
  return placement.slots[inode]! * layout.SLOT_SIZE + layout.EXTENDED_INODE_SIZE + xattrs;
}
