/**
 * Numbers of the EROFS on-disk format (Linux fs/erofs/erofs_fs.h), as far as a metadata-only image needs them.
 * Everything is little-endian.
 */
export type BlockSize = 512 | 4096;

export const SUPERBLOCK_OFFSET = 1024;
export const SUPERBLOCK_SIZE = 128;
export const SUPERBLOCK_MAGIC = 0xe0f5e1e2;
export const DEVICE_SLOT_OFFSET = SUPERBLOCK_OFFSET + SUPERBLOCK_SIZE;
export const DEVICE_SLOT_SIZE = 128;
/** Inodes begin behind the device slot, so that the root's 16-bit number stays small. */
export const INODES_OFFSET = DEVICE_SLOT_OFFSET + DEVICE_SLOT_SIZE;

/** Inodes are addressed in slots of this many bytes. */
export const SLOT_SIZE = 32;
export const EXTENDED_INODE_SIZE = 64;
export const CHUNK_INDEX_SIZE = 8;
export const DIRENT_SIZE = 12;
export const NAME_LENGTH_MAX = 255;
export const SYMLINK_LENGTH_MAX = 4095;

/** The superblock has a checksum; an inode's time is its mtime. */
export const compatibleFeatures = { checksum: 0x1, mtime: 0x2 } as const;
export const incompatibleFeatures = { chunkedFile: 0x4, deviceTable: 0x8 } as const;
export const inodeLayouts = { flatPlain: 0, flatInline: 2, chunkBased: 4 } as const;
/** In the chunk format of an inode: its table holds 8-byte indexes with a device number. */
export const CHUNK_FORMAT_INDEXES = 0x20;
/** Greatest number of blocks in one chunk, as a power of two. */
export const CHUNK_BITS_MAX = 31;
/** Block numbers have 32 bits, and the last one means "no block". */
export const BLOCKS_MAX = 2 ** 32 - 1;

export const fileTypes = {
  file: 1,
  directory: 2,
  character: 3,
  block: 4,
  fifo: 5,
  socket: 6,
  symlink: 7,
} as const;

/** S_IFMT bits of inode(7). */
export const modeBits = {
  fifo: 0o010000,
  character: 0o020000,
  directory: 0o040000,
  block: 0o060000,
  file: 0o100000,
  symlink: 0o120000,
  socket: 0o140000,
} as const;

export function roundUp(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple;
}
