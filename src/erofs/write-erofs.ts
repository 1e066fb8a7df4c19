import { createHash } from "node:crypto";
import { bufferOfBytes } from "../bytes/index.js";
import { invalidArgument, resourceExhausted } from "../errors/index.js";
import type { DirectoryNode, TreeNode } from "../tree/index.js";
import { type DirectoryPlan, planDirectory, writeDirectory } from "./directory.js";
import { type InodeTable, listInodes } from "./inode-table.js";
import * as layout from "./layout.js";
import { encodeXattrs, xattrCount } from "./xattrs.js";

export interface WriteErofsOptions {
  readonly root: DirectoryNode;
  readonly blockSize: 512 | 4096;
  /** Bytes of the data file, which is the image's extra device 1. */
  readonly dataSize: number;
}

/** Greatest image that is written: about 20 million inodes. More is refused. */
const IMAGE_SIZE_MAX = 4 * 1024 ** 3 - 1;

/** What stands where: for each inode its place, and for its own data a place inside the image. */
interface Placement {
  readonly offset: number;
  readonly xattrs: Buffer;
  readonly directory: DirectoryPlan | undefined;
  /** Bytes of a directory or symbolic link; 0 where the content is elsewhere. */
  readonly ownSize: number;
  readonly inline: boolean;
  /** Where own data begins that does not stand behind its inode. */
  dataOffset: number;
}

/**
 * Writes the meta image of a layer: an EROFS image (Linux 5.4 with 4096-byte blocks, 6.4 with 512) that holds all
 * metadata, while the content of its files lies at their `dataOffset` in extra device 1. The same tree gives the same
 * bytes. @throws INVALID_ARGUMENT, RESOURCE_EXHAUSTED, UNIMPLEMENTED with a reason where EROFS can't hold it
 */
export function writeErofs(options: WriteErofsOptions): Buffer {
  const { blockSize } = options;
  const table = listInodes(options.root);
  const { placements, imageSize } = place(table, blockSize);
  const image = Buffer.alloc(imageSize);
  const numberOf = (inode: number): number => placements[inode]!.offset / layout.SLOT_SIZE;
  for (const [inode, node] of table.nodes.entries()) {
    const placement = placements[inode]!;
    writeInode({ image, node, placement, blockSize, ino: inode + 1, links: table.linkCounts[inode]! });
    if (placement.directory !== undefined) {
      const offset = ownDataOffset(placement);
      writeDirectory({ plan: placement.directory, image, offset, blockSize, numberOf });
    } else if (node.kind === "symlink") {
      bufferOfBytes(node.target).copy(image, ownDataOffset(placement));
    }
  }
  writeSuperblock({ image, blockSize, dataSize: options.dataSize, inodes: table.nodes.length });
  return image;
}

function ownDataOffset(placement: Placement): number {
  return placement.inline
    ? placement.offset + layout.EXTENDED_INODE_SIZE + placement.xattrs.length
    : placement.dataOffset;
}

/** Gives each inode its place, own data behind it where it fits a block, else in blocks behind all inodes. */
function place(table: InodeTable, blockSize: number): { placements: Placement[]; imageSize: number } {
  let next = layout.INODES_OFFSET;
  const placements = table.nodes.map((node, inode) => {
    const xattrs = encodeXattrs(node.xattrs);
    const entries = table.entries[inode];
    const directory = entries === undefined ? undefined : planDirectory(entries, blockSize);
    const ownSize = directory?.size ?? (node.kind === "symlink" ? node.target.length : 0);
    const head = layout.EXTENDED_INODE_SIZE + xattrs.length;
    const inline = ownSize > 0 && ownSize <= blockSize - (head % blockSize);
    const wanted = inline ? ownSize : node.kind === "file" && node.size > 0n ? layout.CHUNK_INDEX_SIZE + 7 : 0;
    let offset = roundUp(next, layout.SLOT_SIZE);
    if (inline && !withinBlock(offset + head, ownSize, blockSize)) offset = placeForInline(offset, head, blockSize);
    next = offset + head + wanted;
    return { offset, xattrs, directory, ownSize, inline, dataOffset: 0 };
  });
  next = roundUp(next, blockSize);
  for (const placement of placements) {
    if (placement.ownSize === 0 || placement.inline) continue;
    placement.dataOffset = next;
    next = roundUp(next + placement.ownSize, blockSize);
  }
  if (next > IMAGE_SIZE_MAX) {
    throw resourceExhausted(`Cannot write meta image: at most ${IMAGE_SIZE_MAX} bytes are possible, got ${next}`, {
      reason: "meta-image-too-large",
    });
  }
  return { placements, imageSize: next };
}

/** The first slot from which the bytes behind the inode begin a block, or nearly: they then fit into it. */
function placeForInline(offset: number, head: number, blockSize: number): number {
  const dataBlock = roundUp(offset + head, blockSize);
  return roundUp(dataBlock - head, layout.SLOT_SIZE);
}

function withinBlock(start: number, size: number, blockSize: number): boolean {
  return Math.floor(start / blockSize) === Math.floor((start + size - 1) / blockSize);
}

function writeInode(options: {
  readonly image: Buffer;
  readonly node: TreeNode;
  readonly placement: Placement;
  readonly blockSize: number;
  readonly ino: number;
  readonly links: number;
}): void {
  const { image, node, placement, blockSize } = options;
  const at = placement.offset;
  const content = contentOf(node, placement, blockSize);
  image.writeUInt16LE(1 | (content.layout << 1), at);
  image.writeUInt16LE(xattrCount(placement.xattrs), at + 2);
  image.writeUInt16LE(layout.modeBits[node.kind] | (node.mode & 0o7777), at + 4);
  image.writeBigUInt64LE(content.size, at + 8);
  image.writeUInt32LE(content.field, at + 16);
  image.writeUInt32LE(options.ino, at + 20);
  image.writeUInt32LE(node.uid, at + 24);
  image.writeUInt32LE(node.gid, at + 28);
  image.writeBigInt64LE(node.mtime.seconds, at + 32);
  image.writeUInt32LE(node.mtime.nanoseconds, at + 40);
  image.writeUInt32LE(options.links, at + 44);
  placement.xattrs.copy(image, at + layout.EXTENDED_INODE_SIZE);
  if (content.chunkBlock !== undefined) {
    const index = roundUp(at + layout.EXTENDED_INODE_SIZE + placement.xattrs.length, layout.CHUNK_INDEX_SIZE);
    image.writeUInt16LE(0, index);
    image.writeUInt16LE(1, index + 2);
    image.writeUInt32LE(content.chunkBlock, index + 4);
  }
}

interface InodeContent {
  readonly layout: number;
  readonly size: bigint;
  /** The 32-bit field whose meaning depends on layout and type. */
  readonly field: number;
  /** Block of the data file where the one chunk of a file begins. */
  readonly chunkBlock?: number;
}

function contentOf(node: TreeNode, placement: Placement, blockSize: number): InodeContent {
  switch (node.kind) {
    case "file":
      return fileContent(node.size, node.dataOffset, blockSize);
    case "directory":
    case "symlink":
      return {
        layout: placement.inline ? layout.inodeLayouts.flatInline : layout.inodeLayouts.flatPlain,
        size: BigInt(placement.ownSize),
        field: placement.inline ? 0 : placement.dataOffset / blockSize,
      };
    case "character":
    case "block":
      return { layout: layout.inodeLayouts.flatPlain, size: 0n, field: deviceNumber(node.major, node.minor) };
    default:
      return { layout: layout.inodeLayouts.flatPlain, size: 0n, field: 0 };
  }
}

/** A file lies in one piece in the data file, so one chunk that is large enough describes it. */
function fileContent(size: bigint, dataOffset: number | bigint | undefined, blockSize: number): InodeContent {
  if (size === 0n) return { layout: layout.inodeLayouts.flatPlain, size, field: 0 };
  const start = Number(dataOffset);
  const chunkBlock = start / blockSize;
  const blocks = Math.ceil(Number(size) / blockSize);
  const bits = Math.max(0, Math.ceil(Math.log2(blocks)));
  if (!Number.isInteger(chunkBlock) || chunkBlock + blocks > 0xffffffff || bits > layout.CHUNK_BITS_MAX) {
    throw invalidArgument(
      `Cannot place a file of ${size} bytes at ${dataOffset}: a multiple of ${blockSize} below 2^32 blocks is wanted`,
      { reason: "file-placement-invalid" },
    );
  }
  return {
    layout: layout.inodeLayouts.chunkBased,
    size,
    field: bits | layout.CHUNK_FORMAT_INDEXES,
    chunkBlock,
  };
}

/** Linux's new_encode_dev(). */
function deviceNumber(major: number, minor: number): number {
  return ((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)) >>> 0;
}

function writeSuperblock(options: {
  readonly image: Buffer;
  readonly blockSize: number;
  readonly dataSize: number;
  readonly inodes: number;
}): void {
  const { image, blockSize, dataSize } = options;
  const at = layout.SUPERBLOCK_OFFSET;
  image.writeUInt32LE(layout.SUPERBLOCK_MAGIC, at);
  image.writeUInt8(Math.log2(blockSize), at + 12);
  image.writeUInt16LE(layout.INODES_OFFSET / layout.SLOT_SIZE, at + 14);
  image.writeBigUInt64LE(BigInt(options.inodes), at + 16);
  image.writeUInt32LE(image.length / blockSize, at + 36);
  image.writeUInt32LE(layout.incompatibleFeatures.chunkedFile | layout.incompatibleFeatures.deviceTable, at + 80);
  image.writeUInt16LE(1, at + 86);
  image.writeUInt16LE(layout.DEVICE_SLOT_OFFSET / layout.DEVICE_SLOT_SIZE, at + 88);
  image.write("lazuli-data", layout.DEVICE_SLOT_OFFSET, "latin1");
  image.writeUInt32LE(Math.ceil(dataSize / blockSize), layout.DEVICE_SLOT_OFFSET + 64);
  createHash("sha256").update(image).digest().copy(image, at + 48, 0, 16);
}

function roundUp(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple;
}
