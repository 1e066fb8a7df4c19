/**
 * What a test ran, in numbers, kept for the table in docs/testing.md.
 *
 *     await recordCounts({ name: "gc-model", what: "Operations beside a model", figures: { operations: 10_000 } });
 */
export { type Counts, countsFolder, readCounts, recordCounts } from "./counts.js";
