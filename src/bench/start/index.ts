/**
 * Cold starts of containers by lazuli and its peers, over a link that is simulated.
 *
 *     const report = await benchStart({ workloads: catalogue, contestants, rounds: 5, links, seed: 1, ... });
 */
export { type BenchStartOptions, benchStart } from "./bench-start.js";
export { type Contestant, contestants } from "./contestants.js";
export type { LinkShape } from "./lab.js";
export { repeatabilityOf, seriesOf } from "./measured.js";
export { planRounds } from "./plan.js";
