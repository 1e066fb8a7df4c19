import type { BenchContestant, BenchReport, BenchSeries } from "../contract.js";
import { readMachine } from "../machine.js";

export interface Measurement {
  readonly contestant: string;
  readonly subject: string;
  readonly measure: string;
  readonly unit: BenchSeries["unit"];
  readonly value: number;
}

/** What was measured, as a report: the first contestant is the baseline. */
export class Collected {
  readonly #startedAt = new Date().toISOString();
  readonly #series = new Map<
    string,
    { readonly facts: Measurement; readonly values: Map<string, number[]> }
  >();
  readonly #contestants: readonly string[];

  constructor(contestants: readonly string[]) {
    this.#contestants = contestants;
  }

  add(measurement: Measurement): void {
    const { contestant, subject, measure, value } = measurement;
    const key = JSON.stringify([subject, measure]);
    const series = this.#series.get(key) ?? { facts: measurement, values: new Map() };
    this.#series.set(key, series);
    series.values.set(contestant, [...(series.values.get(contestant) ?? []), value]);
  }

  async report(facts: Pick<BenchReport, "question" | "conditions" | "notes">): Promise<BenchReport> {
    const series = [...this.#series.values()].map(
      ({ facts: { subject, measure, unit }, values }): BenchSeries => {
        const contestants = this.#contestants.map((name, index): BenchContestant => {
          return { name, isBaseline: index === 0, values: values.get(name) ?? [], trace: undefined };
        });
        return { subject, measure, unit, isLessBetter: unit !== "MiB/s" && unit !== "1/s", contestants };
      },
    );
    const machine = await readMachine();
    return {
      version: 1,
      kind: "store",
      startedAt: this.#startedAt,
      machine,
      series,
      repeatability: undefined,
      ...facts,
    };
  }
}
