/**
 * What file operations cost in a container's tree, on each rung of the mount ladder and beside other file systems.
 *
 *     const report = await benchFs({ origin: { kind: "tree", folder: "/usr/lib" }, rounds: 5, peers: [], ... });
 */
export { type BenchFsOptions, benchFs } from "./bench-fs.js";
export type { ImageOrigin } from "./image-origin.js";
export { operations as fsOperations } from "./operations.js";
export type { PeerTree } from "./trees.js";
