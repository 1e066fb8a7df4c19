import type { ByteString } from "../bytes/index.js";
import { type BlockSize, DIRENT_SIZE, fileTypes } from "./layout.js";

/** The names of a directory, "." and ".." among them, in the order of their bytes, and the inode of each. */
export interface DirectoryNames {
  readonly names: readonly ByteString[];
  readonly inodes: Uint32Array;
}

/** Bytes of a directory: all its blocks are full but the last, which ends with its last name. */
export function directorySize(names: readonly ByteString[], blockSize: BlockSize): number {
  let blocks = 0;
  let used = 0;
  for (const name of names) {
    const need = DIRENT_SIZE + name.length;
    if (used + need > blockSize) {
      blocks += 1;
      used = 0;
    }
    used += need;
  }
  return blocks * blockSize + used;
}

export interface WriteDirectoryOptions {
  readonly image: Buffer;
  readonly directory: DirectoryNames;
  readonly blockSize: BlockSize;
  /** Where the block of this index goes. */
  readonly blockOffset: (block: number) => number;
  readonly kinds: readonly { readonly kind: keyof typeof fileTypes }[];
  /** By inode: its offset in the image, in slots. */
  readonly slots: Uint32Array;
}

export function writeDirectory(options: WriteDirectoryOptions): void {
  const { names } = options.directory;
  let first = 0;
  for (let block = 0; first < names.length; block += 1) {
    const end = blockEnd(names, first, options.blockSize);
    writeBlock(options, first, { end, offset: options.blockOffset(block) });
    first = end;
  }
}

function blockEnd(names: readonly ByteString[], first: number, blockSize: BlockSize): number {
  let used = 0;
  let end = first;
  while (end < names.length) {
    used += DIRENT_SIZE + names[end]!.length;
    if (used > blockSize) break;
    end += 1;
  }
  return end;
}

function writeBlock(
  options: WriteDirectoryOptions,
  first: number,
  place: { readonly end: number; readonly offset: number },
): void {
  const { image, directory, kinds, slots } = options;
  let nameOffset = (place.end - first) * DIRENT_SIZE;
  let at = place.offset;
  for (let index = first; index < place.end; index += 1) {
    const name = directory.names[index]!;
    const inode = directory.inodes[index]!;
    image.writeUInt32LE(slots[inode]!, at);
    image.writeUInt16LE(nameOffset, at + 8);
    image[at + 10] = fileTypes[kinds[inode]!.kind];
    const nameStart = place.offset + nameOffset;
    // Names are short: a loop is faster than a call into the runtime for each.
    for (let byte = 0; byte < name.length; byte += 1) image[nameStart + byte] = name.charCodeAt(byte);
    nameOffset += name.length;
    at += DIRENT_SIZE;
  }
}
