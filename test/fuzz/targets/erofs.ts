import { type ErofsInode, ErofsReader } from "../../../src/erofs/index.js";
import { refusing } from "../target.js";

/** A damaged directory may hold itself. */
const NAMES_MAX = 2000;

/** A meta image, walked as the file map does. */
export const fuzz = refusing((bytes) => {
  const reader = new ErofsReader({
    size: bytes.length,
    read: (offset, length) => {
      if (offset < 0 || length < 0 || offset + length > bytes.length) throw new RangeError("past the image");
      return bytes.subarray(offset, offset + length);
    },
  });
  const waiting: ErofsInode[] = [reader.root];
  let names = 0;
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    for (const { slot } of reader.names(next)) {
      names += 1;
      if (names > NAMES_MAX) return;
      const inode = reader.inode(slot);
      if (inode.kind === "directory") waiting.push(inode);
    }
  }
});
