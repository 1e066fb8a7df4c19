import type { StartTrace } from "../traces/index.js";

/** What a benchmark found, for the terminal, `--json`, `--html` and the README's table. */
export interface BenchReport {
  readonly version: 1;
  readonly kind: "start" | "fs" | "store";
  /** The question that it answers, one sentence. */
  readonly question: string;
  /** RFC 3339. */
  readonly startedAt: string;
  readonly machine: BenchMachine;
  /** What held for all measurements: link, rounds, images, caches, as pairs of name and value, in order. */
  readonly conditions: readonly (readonly [name: string, value: string])[];
  readonly series: readonly BenchSeries[];
  /** How far two runs of the same thing were apart, as a ratio of their medians; undefined: not measured. */
  readonly repeatability: number | undefined;
  /** What to know before believing the figures: what could not be run, and why. */
  readonly notes: readonly string[];
}

export interface BenchMachine {
  readonly processors: string;
  readonly memoryBytes: number;
  readonly kernel: string;
  readonly distribution: string;
  readonly node: string;
  readonly commit: string;
  /** Programs that were measured or used, with their versions. */
  readonly programs: readonly (readonly [name: string, version: string])[];
}

/** One figure of one subject by all contestants: a row of the table, a group of the plot. */
export interface BenchSeries {
  /** What was done, e.g. `python` or `random reads, cold, 4 jobs`. */
  readonly subject: string;
  /** What of it was measured, e.g. `first output`, `pull`, `bytes fetched`. */
  readonly measure: string;
  readonly unit: "ms" | "bytes" | "count" | "%" | "MiB/s" | "1/s";
  readonly isLessBetter: boolean;
  readonly contestants: readonly BenchContestant[];
}

export interface BenchContestant {
  readonly name: string;
  /** It is what the others' ratios refer to; one of a series at the most. */
  readonly isBaseline: boolean;
  /** One a round, in the order of rounds; undefined: that round failed, see `notes`. */
  readonly values: readonly (number | undefined)[];
  /** The start whose value is the median, for the waterfall; only lazuli has them. */
  readonly trace: StartTrace | undefined;
}
