/**
 * The meta image of a layer: an EROFS image with metadata only, whose files point into the layer's data file.
 *
 *     const image = writeErofs({ root, blockSize: 4096, dataSize });
 *     for (const { name, slot } of reader.names(reader.root)) use(name, reader.inode(slot));
 */
export { type ErofsBytes, type ErofsInode, type ErofsName, ErofsReader } from "./erofs-reader.js";
export type { BlockSize } from "./layout.js";
export { type WriteErofsOptions, writeErofs } from "./write-erofs.js";
