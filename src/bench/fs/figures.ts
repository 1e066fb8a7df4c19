import type { BenchContestant, BenchSeries } from "../contract.js";
import { sortedValues, spreadOf } from "../statistics.js";
import type { Operation } from "./operations.js";
import type { Tree } from "./trees.js";

interface Figure {
  readonly tree: string;
  readonly round: number;
  readonly operation: Operation;
  readonly state: "cold" | "warm";
  readonly jobs: number;
  readonly value: number | undefined;
}

/** What was measured, as series: one for each operation, state and number of jobs. */
export class Figures {
  readonly #trees: readonly Tree[];
  readonly #rounds: number;
  readonly #series = new Map<
    string,
    Omit<BenchSeries, "contestants"> & { readonly values: Map<string, (number | undefined)[]> }
  >();

  constructor(trees: readonly Tree[], rounds: number) {
    this.#trees = trees;
    this.#rounds = rounds;
  }

  add({ tree, round, operation, state, jobs, value }: Figure): void {
    const subject = `${state}, ${jobs} ${jobs === 1 ? "job" : "jobs"}`;
    const isLessBetter = operation.unit === "ms";
    this.#put(
      { subject, measure: operation.meaning, unit: operation.unit, isLessBetter },
      { tree, round, value },
    );
  }

  addMessages(tree: string, round: number, value: number): void {
    const series = {
      subject: "warm, all operations",
      measure: "FUSE messages",
      unit: "count",
      isLessBetter: true,
    } as const;
    this.#put(series, { tree, round, value });
  }

  /** In the order of states and jobs; what no tree could do is left out. */
  series(): readonly BenchSeries[] {
    const all = [...this.#series.values()].map(
      ({ values, ...facts }): BenchSeries => ({
        ...facts,
        contestants: this.#trees
          .filter(({ name }) => values.has(name))
          .map(
            ({ name, isBaseline }): BenchContestant => ({
              name,
              isBaseline,
              values: values.get(name)!,
              trace: undefined,
            }),
          ),
      }),
    );
    const order = [...new Set(all.map(({ subject }) => subject))];
    return all
      .filter(({ contestants }) => contestants.some((one) => sortedValues(one.values).length > 0))
      .sort((left, right) => order.indexOf(left.subject) - order.indexOf(right.subject));
  }

  /**
   * Odd rounds of the baseline against even ones, by the median over all series: two runs of the same thing that had the
   * same neighbours. Undefined: too few rounds.
   */
  repeatability(): number | undefined {
    const apart = this.series().flatMap(({ contestants }) => {
      const values = contestants.find(({ isBaseline }) => isBaseline)?.values ?? [];
      const halves = [0, 1].map((half) => sortedValues(values.filter((_, round) => round % 2 === half)));
      if (halves.some((half) => half.length < 2)) return [];
      const [odd, even] = halves.map((half) => spreadOf(half).median);
      return odd! > 0 && even! > 0 ? [Math.abs(Math.log(odd! / even!))] : [];
    });
    return apart.length === 0 ? undefined : Math.exp(spreadOf(apart).median);
  }

  #put(
    facts: Omit<BenchSeries, "contestants">,
    { tree, round, value }: Pick<Figure, "tree" | "round" | "value">,
  ): void {
    const key = `${facts.subject}/${facts.measure}`;
    const series = this.#series.get(key) ?? { ...facts, values: new Map() };
    this.#series.set(key, series);
    const values = series.values.get(tree) ?? Array.from({ length: this.#rounds }, () => undefined);
    values[round] = value;
    series.values.set(tree, values);
  }
}
