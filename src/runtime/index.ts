/**
 * Shims, tasks and sandboxes: the contracts of those who run them, and the ones that are built in.
 */
export type * from "./sandbox-contract.js";
