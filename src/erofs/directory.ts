import { bufferOfBytes, type ByteString, compareBytes } from "../bytes/index.js";
import { DIRENT_SIZE } from "./layout.js";

/** One name of a directory. The inode number is filled in once all inodes have their place. */
export interface DirectoryEntry {
  readonly name: ByteString;
  readonly inode: number;
  readonly fileType: number;
}

/** Which entries go to which block, and how many bytes the directory has. */
export interface DirectoryPlan {
  readonly entries: readonly DirectoryEntry[];
  /** Index of the first entry of each block, and the count of all at the end. */
  readonly blockStarts: readonly number[];
  /** All blocks are full but the last, which ends with its last name. */
  readonly size: number;
}

/** Sorts the entries by the bytes of their names and deals them out to blocks. */
export function planDirectory(unsorted: readonly DirectoryEntry[], blockSize: number): DirectoryPlan {
  const entries = [...unsorted].sort((left, right) => compareBytes(left.name, right.name));
  const blockStarts = [0];
  let used = 0;
  for (const [index, entry] of entries.entries()) {
    const need = DIRENT_SIZE + entry.name.length;
    if (used + need > blockSize) {
      blockStarts.push(index);
      used = 0;
    }
    used += need;
  }
  const size = (blockStarts.length - 1) * blockSize + used;
  blockStarts.push(entries.length);
  return { entries, blockStarts, size };
}

/** Writes a planned directory at `offset`; `numberOf` gives an inode's number on disk. */
export function writeDirectory(options: {
  readonly plan: DirectoryPlan;
  readonly image: Buffer;
  readonly offset: number;
  readonly blockSize: number;
  readonly numberOf: (inode: number) => number;
}): void {
  const { plan, image, blockSize, numberOf } = options;
  for (let block = 0; block + 1 < plan.blockStarts.length; block += 1) {
    const first = plan.blockStarts[block]!;
    const end = plan.blockStarts[block + 1]!;
    const start = options.offset + block * blockSize;
    let nameOffset = (end - first) * DIRENT_SIZE;
    for (let index = first; index < end; index += 1) {
      const entry = plan.entries[index]!;
      const at = start + (index - first) * DIRENT_SIZE;
      image.writeBigUInt64LE(BigInt(numberOf(entry.inode)), at);
      image.writeUInt16LE(nameOffset, at + 8);
      image.writeUInt8(entry.fileType, at + 10);
      nameOffset += bufferOfBytes(entry.name).copy(image, start + nameOffset);
    }
  }
}
