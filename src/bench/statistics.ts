import type { BenchContestant, BenchSeries } from "./contract.js";

/** The middle of several measurements, with the least and the greatest. */
export interface Spread {
  readonly median: number;
  readonly least: number;
  readonly greatest: number;
}

/** @param values at least one */
export function spreadOf(values: readonly number[]): Spread {
  const sorted = sortedValues(values);
  return { median: percentile(sorted, 50), least: sorted[0]!, greatest: sorted.at(-1)! };
}

/** By nearest rank, so that it is one of the values. @param sorted least first, at least one */
export function percentile(sorted: readonly number[], percent: number): number {
  const rank = Math.ceil((percent / 100) * sorted.length);
  return sorted[Math.min(sorted.length - 1, Math.max(0, rank - 1))]!;
}

/** What rounds that did not fail measured, least first. */
export function sortedValues(values: readonly (number | undefined)[]): readonly number[] {
  return values.filter((value) => value !== undefined).sort((left, right) => left - right);
}

export type Verdict = "better" | "worse" | "even";

/** A contestant beside the baseline of its series. */
export interface Comparison {
  /** Undefined: every round failed. */
  readonly spread: Spread | undefined;
  /** Of medians, by the baseline's; undefined: there is none to divide by. */
  readonly ratio: number | undefined;
  /** Undefined: it is the baseline itself, or there is no ratio. */
  readonly verdict: Verdict | undefined;
  readonly failedRounds: number;
}

export function baselineOf(series: BenchSeries): BenchContestant | undefined {
  return series.contestants.find(({ isBaseline }) => isBaseline);
}

/**
 * `even` where the medians are no further apart than two runs of the same thing were, or where each median lies within
 * what the other measured: then the figures don't tell who is ahead.
 */
export function compare(
  series: BenchSeries,
  contestant: BenchContestant,
  repeatability: number | undefined,
): Comparison {
  const values = sortedValues(contestant.values);
  const failedRounds = contestant.values.length - values.length;
  const spread = values.length === 0 ? undefined : spreadOf(values);
  const base = sortedValues(baselineOf(series)?.values ?? []);
  if (spread === undefined || base.length === 0) {
    return { spread, ratio: undefined, verdict: undefined, failedRounds };
  }
  const other = spreadOf(base);
  const ratio = other.median === 0 ? undefined : spread.median / other.median;
  if (contestant.isBaseline || ratio === undefined)
    return { spread, ratio, verdict: undefined, failedRounds };
  const apart = Math.abs(Math.log(ratio));
  const isWithinNoise = repeatability !== undefined && apart <= Math.abs(Math.log(repeatability));
  const isEven =
    isWithinNoise || apart === 0 || (within(spread.median, other) && within(other.median, spread));
  const isAhead = ratio < 1 === series.isLessBetter;
  return { spread, ratio, verdict: isEven ? "even" : isAhead ? "better" : "worse", failedRounds };
}

function within(value: number, { least, greatest }: Spread): boolean {
  return value >= least && value <= greatest;
}

/** How many comparisons ended how, over all series: what a reader wants to know before any single figure. */
export function countVerdicts(
  all: readonly BenchSeries[],
  repeatability: number | undefined,
): Readonly<Record<Verdict, number>> {
  const counts = { better: 0, worse: 0, even: 0 };
  for (const series of all) {
    for (const contestant of series.contestants) {
      const { verdict } = compare(series, contestant, repeatability);
      if (verdict !== undefined) counts[verdict] += 1;
    }
  }
  return counts;
}
