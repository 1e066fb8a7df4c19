/**
 * containerd's snapshotter contract and our implementations of it.
 */
export * from "./contract.js";
export * from "./resolver.js";
