import { resourceExhausted } from "../errors/index.js";
import type { TreeNode } from "../tree/index.js";
import { directorySize } from "./directory.js";
import { fileExtent } from "./file-extent.js";
import type { InodeTable } from "./inode-table.js";
import * as layout from "./layout.js";
import { encodeXattrs } from "./xattrs.js";

/** Greatest image that is written, about 30 million inodes: what one buffer can hold. More is refused. */
const IMAGE_SIZE_MAX = 4 * 1024 ** 3 - 4096;

/** Where everything stands in the image. Arrays are by inode. */
export interface Placement {
  /** Offset of the inode in slots of 32 bytes. */
  readonly slots: Uint32Array;
  /** Bytes of a directory or symbolic link. */
  readonly ownSizes: Uint32Array;
  /** The first of the blocks of its own that a directory or symbolic link has; 0 without any. */
  readonly ownBlocks: Uint32Array;
  /** One of `inodeLayouts`. */
  readonly layouts: Uint8Array;
  /** Only of inodes that have some. */
  readonly xattrs: ReadonlyMap<number, Buffer>;
  readonly imageSize: number;
}

export interface PlaceOptions {
  readonly table: InodeTable;
  readonly blockSize: layout.BlockSize;
  readonly dataSize: number;
}

/** Gives each inode its place, with its own data behind it where that fits a block, else in blocks behind all inodes. */
export function placeInodes(options: PlaceOptions): Placement {
  const placer = new Placer(options);
  for (let inode = 0; inode < options.table.nodes.length; inode += 1) placer.add(inode);
  placer.addBlocks();
  return placer;
}

class Placer implements Placement {
  readonly slots: Uint32Array;
  readonly ownSizes: Uint32Array;
  readonly ownBlocks: Uint32Array;
  readonly layouts: Uint8Array;
  readonly xattrs = new Map<number, Buffer>();
  imageSize = layout.INODES_OFFSET;
  readonly #options: PlaceOptions;

  constructor(options: PlaceOptions) {
    const count = options.table.nodes.length;
    this.#options = options;
    this.slots = new Uint32Array(count);
    this.ownSizes = new Uint32Array(count);
    this.ownBlocks = new Uint32Array(count);
    this.layouts = new Uint8Array(count);
  }

  add(inode: number): void {
    const { table, blockSize } = this.#options;
    const node = table.nodes[inode]!;
    const xattrs = encodeXattrs(node.xattrs);
    if (xattrs !== undefined) this.xattrs.set(inode, xattrs);
    const head = layout.EXTENDED_INODE_SIZE + (xattrs?.length ?? 0);
    const ownSize = this.#ownSize(inode, node);
    const tail = tailSize(node, ownSize, blockSize);
    this.ownSizes[inode] = ownSize;
    const isInline = tail > 0 && head + tail <= blockSize;
    if (isInline) this.layouts[inode] = layout.inodeLayouts.flatInline;
    const chunks = this.#chunks(node);
    if (chunks > 0) this.layouts[inode] = layout.inodeLayouts.chunkBased;
    const behind = isInline ? tail : 0;
    const table8 =
      chunks > 0
        ? layout.roundUp(head, layout.CHUNK_INDEX_SIZE) - head + chunks * layout.CHUNK_INDEX_SIZE
        : 0;
    const together = isInline ? head + tail : layout.EXTENDED_INODE_SIZE;
    this.slots[inode] = this.#take(head + behind + table8, together) / layout.SLOT_SIZE;
  }

  /** Gives blocks to what did not fit behind its inode. */
  addBlocks(): void {
    const { table, blockSize } = this.#options;
    this.imageSize = layout.roundUp(this.imageSize, blockSize);
    for (let inode = 0; inode < table.nodes.length; inode += 1) {
      const ownSize = this.ownSizes[inode]!;
      const isInline = this.layouts[inode] === layout.inodeLayouts.flatInline;
      const blocks = isInline ? Math.floor(ownSize / blockSize) : Math.ceil(ownSize / blockSize);
      if (blocks === 0) continue;
      this.ownBlocks[inode] = this.imageSize / blockSize;
      this.#grow(blocks * blockSize);
    }
  }

  #ownSize(inode: number, node: TreeNode): number {
    if (node.kind === "directory") {
      return directorySize(this.#options.table.directories[inode]!.names, this.#options.blockSize);
    }
    return node.kind === "symlink" ? node.target.length : 0;
  }

  #chunks(node: TreeNode): number {
    return node.kind === "file" && node.size !== 0n ? fileExtent(node, this.#options).chunks : 0;
  }

  /** Takes `size` bytes from a slot on; the first `together` of them stand in one block. */
  #take(size: number, together: number): number {
    const { blockSize } = this.#options;
    let offset = layout.roundUp(this.imageSize, layout.SLOT_SIZE);
    const room = blockSize - (offset % blockSize);
    if (room < together) offset += room;
    this.imageSize = offset;
    this.#grow(size);
    return offset;
  }

  #grow(size: number): void {
    this.imageSize += size;
    if (this.imageSize <= IMAGE_SIZE_MAX) return;
    throw resourceExhausted(
      `Cannot write meta image: at most ${IMAGE_SIZE_MAX} bytes are possible, got a tree of ${this.#options.table.nodes.length} files`,
      { reason: "meta-image-too-large" },
    );
  }
}

/** Bytes of the own data that may stand behind the inode: all of a small one, and what is left of a directory's blocks. */
function tailSize(node: TreeNode, ownSize: number, blockSize: number): number {
  if (ownSize <= blockSize) return ownSize;
  return node.kind === "directory" ? ownSize % blockSize : 0;
}
