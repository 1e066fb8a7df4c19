/**
 * What a snapshotter must do, as a suite that takes a factory, and what it takes to test ours.
 *
 *     await snapshotterSuite(t, { name: "lazy", now, make: async () => ({ snapshotter, dispose }) });
 */
export { FakeEngine } from "./fake-engine.js";
export { type LazyRig, labelsOnly, lazyRig, noRegistry, nowNanoseconds, syncFileSystem } from "./lazy-rig.js";
export { withMounts } from "./mounting.js";
export { socketSnapshotter, socketTransport } from "./socket-client.js";
export { snapshotterSuite, suiteRows } from "./suite.js";
export type { SuiteSnapshotter, SuiteTraits } from "./suite-case.js";
