/**
 * What a content store must do, as a suite that takes a factory.
 *
 *     await contentSuite(t, { name: "local", now, factory: async () => ({ store, dispose, reopen }) });
 *     await crossNamespaceSuite(t, { name: "shared", policy: "shared", now, factory });
 */

export { MemoryStore } from "./memory-store.js";
export { type CrossNamespaceOptions, crossNamespaceSuite, type NamespacePair } from "./namespace-cases.js";
export { type ContentSuiteOptions, contentSuite, type SuiteStore } from "./suite.js";
