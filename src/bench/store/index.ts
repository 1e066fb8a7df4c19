/**
 * What calls to the store and the snapshotters cost, beside containerd.
 *
 *     const report = await benchStore({ rounds: 3, objects: 100_000, snapshots: 1000, snapshotters: ["overlayfs"], ... });
 */
export { type BenchStoreOptions, benchStore } from "./bench-store.js";
