/**
 * What a start is measured on: a registry, and engines that have nothing when they begin.
 *
 *     await using engine = await startEngine({ kind: "lazuli daemon", folder, programs, registryHost, authority, signal });
 *     await engine.pull({ reference, sociIndex: undefined, signal });
 */
export {
  type BenchRegistry,
  type Certificate,
  makeCertificate,
  REGISTRY_NAME,
  startBenchRegistry,
} from "./bench-registry.js";
export {
  type Engine,
  type EngineKind,
  engineKinds,
  type LazuliParts,
  type Programs,
  type PullRequest,
  type StartEngineOptions,
} from "./engine.js";
export { PROFILES } from "./lazuli.js";
export { startEngine } from "./start-engine.js";
export { warmBlobs } from "./warm-blobs.js";
