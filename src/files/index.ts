/**
 * Small files of the node's own: put in place whole, read with a bound.
 *
 *     await replaceFile(path, bytes);
 *     const { bytes } = await readBoundedFile(path, { bytesMax: 65_536, what: "a trace", reason: "trace-damaged" });
 */
export { replaceFile, syncFolder, writeSynced } from "./durable-file.js";
export { placeFile } from "./place-file.js";
export { type BoundedFile, type ReadBoundedOptions, readBoundedFile } from "./read-bounded-file.js";
