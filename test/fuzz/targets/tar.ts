import { writeErofs } from "../../../src/erofs/index.js";
import { compileTar, readTar } from "../../../src/tar/index.js";
import { refusingLater } from "../target.js";

/** Headers, PAX records, sparse maps and the tree, up to its image. */
export const fuzz = refusingLater(async (tar) => {
  const entries = readTar({
    size: tar.length,
    read: async ({ offset, length }) => tar.subarray(offset, offset + length),
  });
  const { root, dataSize } = await compileTar({ entries, tarSize: tar.length });
  writeErofs({ root, dataSize, blockSize: 512 });
});
