/**
 * What other programs may import from lazuli.
 */
export { type ErrorCode, LazuliError } from "./errors/index.js";
export type * from "./snapshotters/index.js";
