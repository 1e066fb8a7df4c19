/**
 * Layers as tar archives: reading any dialect as Go's archive/tar does, the tree that containerd would unpack, and
 * writing. No IO of its own.
 *
 *     const entries = readTar({ size, read, signal });
 *     const { root, dataSize, needsCopy } = await compileTar({ entries, tarSize: size });
 *
 * Where readers of tar differ, Go's counts, since that is what containerd unpacks with: PAX global headers are entries
 * of their own and change no other entry; `LIBARCHIVE.xattr.` and `SCHILY.acl.` are not applied; GNU long names win
 * over PAX; an empty PAX value keeps what the header has; `hdrcharset` means nothing, names are bytes; the end of the
 * archive may be missing, half there, or cut inside the padding of the last file; what follows two blocks of zeros is
 * not looked at. Stricter than Go are: numbers above 2^53, files above 16 TiB, continued volumes, more than 64 extension
 * headers before an entry.
 */
export {
  type CompiledTar,
  type CompileTarOptions,
  type CopyPart,
  type CopyRegion,
  compileTar,
  TarCompiler,
  type TarFacts,
} from "./compile-tar.js";
export type { SparsePart, TarEntry, TarKind } from "./entry.js";
export { type ReadTarOptions, readTar } from "./read-tar.js";
export { readTarHeaders } from "./read-tar-headers.js";
export type { TarGap, TarLimit, TarReason } from "./refusal.js";
export { type TarEvent, TarReader } from "./tar-reader.js";
export { type TarWriteEntry, TarWriter } from "./tar-writer.js";
