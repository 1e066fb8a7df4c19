/**
 * The meta image of a layer: an EROFS image with metadata only, whose files point into the layer's data file.
 *
 *     const image = writeErofs({ root, blockSize: 4096, dataSize });
 */
export type { BlockSize } from "./layout.js";
export { type WriteErofsOptions, writeErofs } from "./write-erofs.js";
