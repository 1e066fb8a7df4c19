import type { ByteString } from "../bytes/index.js";
import { dataLoss, type LazuliError } from "../errors/index.js";
import * as layout from "./layout.js";

/** The bytes of a meta image, wherever they are. */
export interface ErofsBytes {
  readonly size: number;
  /** All of them, or it throws. */
  read(offset: number, length: number): Buffer;
}

export interface ErofsInode {
  readonly slot: number;
  readonly kind: "file" | "directory" | "other";
  readonly size: number;
  readonly links: number;
  /** Of a file that isn't empty: where its bytes begin in the data file; they lie in one piece. */
  readonly dataOffset: number | undefined;
}

export interface ErofsName {
  readonly name: ByteString;
  readonly slot: number;
  /** One of `fileTypes`; strangers to it are passed on. */
  readonly type: number;
}

const BLOCK_BITS_MIN = 9;
const BLOCK_BITS_MAX = 12;
const XATTR_HEADER_SIZE = 12;
const XATTR_UNIT_SIZE = 4;
/** A directory larger than this is damage: about 10 million names. */
const DIRECTORY_BYTES_MAX = 256 * 1024 * 1024;

/**
 * Reads names and the places of files from a meta image as this room writes it. For the tools that look through a whole
 * tree off the main thread; mounts are served by the native reader. @throws DATA_LOSS `meta-image-damaged`
 */
export class ErofsReader {
  readonly root: ErofsInode;
  readonly inodeCount: number;
  readonly #bytes: ErofsBytes;
  readonly #blockSize: number;

  constructor(bytes: ErofsBytes) {
    this.#bytes = bytes;
    const superblock = this.#read(layout.SUPERBLOCK_OFFSET, layout.SUPERBLOCK_SIZE);
    if (superblock.readUInt32LE(0) !== layout.SUPERBLOCK_MAGIC) throw damaged("the magic is wrong");
    const bits = superblock.readUInt8(12);
    if (bits < BLOCK_BITS_MIN || bits > BLOCK_BITS_MAX) throw damaged("the block size is unknown");
    this.#blockSize = 2 ** bits;
    this.inodeCount = Number(superblock.readBigUInt64LE(16));
    this.root = this.inode(superblock.readUInt16LE(14));
    if (this.root.kind !== "directory") throw damaged("its root is no directory");
  }

  inode(slot: number): ErofsInode {
    const head = this.#read(slot * layout.SLOT_SIZE, layout.EXTENDED_INODE_SIZE);
    const type = head.readUInt16LE(4) & 0o170000;
    const kind =
      type === layout.modeBits.file ? "file" : type === layout.modeBits.directory ? "directory" : "other";
    const size = Number(head.readBigUInt64LE(8));
    if (!Number.isSafeInteger(size)) throw damaged("a file is too large");
    const dataOffset = kind === "file" && size > 0 ? this.#dataOffset(slot, head) : undefined;
    return { slot, kind, size, links: head.readUInt32LE(44), dataOffset };
  }

  /** The names of a directory in the order of their bytes, without "." and "..". */
  *names(directory: ErofsInode): Generator<ErofsName> {
    if (directory.kind !== "directory" || directory.size > DIRECTORY_BYTES_MAX) {
      throw damaged("a directory is none, or too large");
    }
    const head = this.#read(directory.slot * layout.SLOT_SIZE, layout.EXTENDED_INODE_SIZE);
    const isInline = head.readUInt16LE(0) >> 1 === layout.inodeLayouts.flatInline;
    const blocks = head.readUInt32LE(16) * this.#blockSize;
    for (let at = 0; at < directory.size; at += this.#blockSize) {
      const length = Math.min(this.#blockSize, directory.size - at);
      const isTail = isInline && length < this.#blockSize;
      const offset = isTail ? this.#inodeEnd(directory.slot, head) : blocks + at;
      yield* namesIn(this.#read(offset, length));
    }
  }

  #dataOffset(slot: number, head: Buffer): number {
    if (head.readUInt16LE(0) >> 1 !== layout.inodeLayouts.chunkBased) throw damaged("a file has no chunks");
    const table = layout.roundUp(this.#inodeEnd(slot, head), layout.CHUNK_INDEX_SIZE);
    return this.#read(table, layout.CHUNK_INDEX_SIZE).readUInt32LE(4) * this.#blockSize;
  }

  #inodeEnd(slot: number, head: Buffer): number {
    const count = head.readUInt16LE(2);
    const xattrs = count === 0 ? 0 : XATTR_HEADER_SIZE + (count - 1) * XATTR_UNIT_SIZE;
    return slot * layout.SLOT_SIZE + layout.EXTENDED_INODE_SIZE + xattrs;
  }

  #read(offset: number, length: number): Buffer {
    if (offset + length > this.#bytes.size) throw damaged("it ends too soon");
    return this.#bytes.read(offset, length);
  }
}

function* namesIn(block: Buffer): Generator<ErofsName> {
  if (block.length < layout.DIRENT_SIZE) throw damaged("a block of a directory is too short");
  const namesAt = block.readUInt16LE(8);
  const count = Math.floor(namesAt / layout.DIRENT_SIZE);
  if (count === 0 || namesAt > block.length) throw damaged("a block of a directory has no names");
  for (let index = 0; index < count; index += 1) {
    const at = index * layout.DIRENT_SIZE;
    const start = block.readUInt16LE(at + 8);
    const isLast = index + 1 === count;
    const end = isLast ? nameEnd(block, start) : block.readUInt16LE(at + layout.DIRENT_SIZE + 8);
    if (start < namesAt || end <= start || end > block.length) throw damaged("a name lies outside");
    const name = block.toString("latin1", start, end) as ByteString;
    if (name === "." || name === "..") continue;
    yield { name, slot: block.readUInt32LE(at), type: block[at + 10]! };
  }
}

/** The last name of a block ends with the block, or with the zeros that fill it. */
function nameEnd(block: Buffer, start: number): number {
  const zero = block.indexOf(0, start);
  return zero < 0 ? block.length : zero;
}

function damaged(what: string): LazuliError {
  return dataLoss(`Cannot read meta image: ${what}`, { reason: "meta-image-damaged" });
}
