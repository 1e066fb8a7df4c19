/**
 * Benchmarks that the program brings along: what is measured, on what, and the report of it.
 *
 *     const report = await benchStart({ workloads: catalogue, contestants, rounds: 5, links, seed: 1, ... });
 *     process.stdout.write(renderTable(report));
 */
export type { BenchContestant, BenchMachine, BenchReport, BenchSeries } from "./contract.js";
export type { Programs } from "./engines/index.js";
export { type BenchFsOptions, benchFs, fsOperations, type ImageOrigin, type PeerTree } from "./fs/index.js";
export { renderHtml, renderJson, renderTable } from "./report/index.js";
export {
  type BenchStartOptions,
  benchStart,
  type Contestant,
  contestants,
  type LinkShape,
} from "./start/index.js";
export { type BenchStoreOptions, benchStore } from "./store/index.js";
export { catalogue, type Ready, type Workload } from "./workloads/index.js";
