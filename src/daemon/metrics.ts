import { assert } from "../errors/index.js";

/** Values of the labels of one series, in the order in which the metric names them. */
type LabelValues = readonly string[];

/** Series of one metric. Beyond it a new set of labels is counted under "other", so a stranger can't grow the page. */
export const SERIES_MAX = 256;

interface Facts {
  /** `lazuli_…`, with the unit at the end (prometheus.io/docs/practices/naming). */
  readonly name: string;
  readonly help: string;
  readonly labels?: readonly string[];
}

export interface Sample {
  readonly labels?: LabelValues;
  readonly value: number;
}

export interface Counter {
  add(labels: LabelValues, amount?: number): void;
}

export interface Histogram {
  observe(labels: LabelValues, value: number): void;
}

interface Metric {
  readonly facts: Facts;
  /** Sum over all series; undefined for what has no sum. */
  readonly total: (() => number) | undefined;
  readonly type: "counter" | "gauge" | "histogram";
  /** Not on a page without samples. */
  readonly isSparse: boolean;
  lines(): Iterable<string>;
}

/** Counters, histograms, and gauges that are read when somebody asks, in the Prometheus text format 0.0.4. */
export class Metrics {
  readonly #metrics = new Map<string, Metric>();
  readonly #hooks: (() => Promise<void>)[] = [];
  #preparing: Promise<void> | undefined;

  counter(facts: Facts): Counter {
    const series = new SeriesMap<{ value: number }>(facts, () => ({ value: 0 }));
    this.#register({
      facts,
      type: "counter",
      isSparse: false,
      total: () => [...series].reduce((sum, [, entry]) => sum + entry.value, 0),
      *lines() {
        for (const [labels, entry] of series) yield line(facts.name, facts.labels, labels, entry.value);
      },
    });
    return {
      add: (labels, amount = 1) => {
        series.get(labels).value += amount;
      },
    };
  }

  histogram(facts: Facts & { readonly buckets: readonly number[] }): Histogram {
    const { buckets } = facts;
    const series = new SeriesMap(facts, () => ({ counts: buckets.map(() => 0), count: 0, sum: 0 }));
    this.#register({
      facts,
      type: "histogram",
      isSparse: false,
      total: undefined,
      *lines() {
        const names = [...(facts.labels ?? []), "le"];
        for (const [labels, entry] of series) {
          for (const [index, bound] of buckets.entries()) {
            yield line(`${facts.name}_bucket`, names, [...labels, String(bound)], entry.counts[index]!);
          }
          yield line(`${facts.name}_bucket`, names, [...labels, "+Inf"], entry.count);
          yield line(`${facts.name}_sum`, facts.labels, labels, entry.sum);
          yield line(`${facts.name}_count`, facts.labels, labels, entry.count);
        }
      },
    });
    return {
      observe: (labels, value) => {
        const entry = series.get(labels);
        for (const [index, bound] of buckets.entries()) if (value <= bound) entry.counts[index]! += 1;
        entry.count += 1;
        entry.sum += value;
      },
    };
  }

  /** Figures that somebody else keeps: `read` is called for each page. */
  watch(
    facts: Facts & {
      readonly type: "counter" | "gauge";
      readonly read: () => Iterable<Sample>;
      /** Instead of SERIES_MAX; further samples are left out. */
      readonly seriesMax?: number;
      /** Without samples its name is not on the page either. */
      readonly isSparse?: boolean;
    },
  ): void {
    const { seriesMax = SERIES_MAX, isSparse = false } = facts;
    this.#register({
      facts,
      type: facts.type,
      isSparse,
      total:
        facts.type === "counter"
          ? () => [...facts.read()].reduce((sum, sample) => sum + sample.value, 0)
          : undefined,
      *lines() {
        let count = 0;
        for (const sample of facts.read()) {
          if (count++ >= seriesMax) return;
          yield line(facts.name, facts.labels, sample.labels ?? [], sample.value);
        }
      },
    });
  }

  /** Asked, all at once, before a page is made of figures that take a wait. A hook has its own end, and may fail. */
  beforePage(hook: () => Promise<void>): void {
    this.#hooks.push(hook);
  }

  /** The page of what is now; who asks meanwhile waits for the same hooks. */
  async page(): Promise<string> {
    this.#preparing ??= Promise.allSettled(this.#hooks.map((hook) => hook())).then(() => {
      this.#preparing = undefined;
    });
    await this.#preparing;
    return this.text();
  }

  /** The page without asking the hooks, with a line break at its end. */
  text(): string {
    const lines: string[] = [];
    for (const { facts, type, isSparse, lines: samples } of this.#metrics.values()) {
      const found = [...samples()];
      if (isSparse && found.length === 0) continue;
      lines.push(`# HELP ${facts.name} ${facts.help}`, `# TYPE ${facts.name} ${type}`);
      for (const one of found) lines.push(one);
    }
    return `${lines.join("\n")}\n`;
  }

  /** The sum of each counter over its labels, by name. */
  totals(): Readonly<Record<string, number>> {
    const totals: Record<string, number> = {};
    for (const { facts, total } of this.#metrics.values())
      if (total !== undefined) totals[facts.name] = total();
    return totals;
  }

  /** Names and meanings, for the docs. */
  describe(): readonly { name: string; type: string; labels: readonly string[]; help: string }[] {
    return [...this.#metrics.values()].map(({ facts, type }) => ({
      name: facts.name,
      type,
      labels: facts.labels ?? [],
      help: facts.help,
    }));
  }

  #register(metric: Metric): void {
    assert(!this.#metrics.has(metric.facts.name), `metric ${metric.facts.name} is registered once`);
    this.#metrics.set(metric.facts.name, metric);
  }
}

class SeriesMap<Entry> {
  readonly #facts: Facts;
  readonly #make: () => Entry;
  readonly #entries = new Map<string, { labels: LabelValues; entry: Entry }>();

  constructor(facts: Facts, make: () => Entry) {
    this.#facts = facts;
    this.#make = make;
  }

  get(labels: LabelValues): Entry {
    const names = this.#facts.labels ?? [];
    assert(labels.length === names.length, `${this.#facts.name} takes ${names.length} labels`);
    const key = labels.join("\0");
    const known = this.#entries.get(key);
    if (known !== undefined) return known.entry;
    const others = names.map(() => "other");
    if (this.#entries.size >= SERIES_MAX && key !== others.join("\0")) return this.get(others);
    const made = { labels, entry: this.#make() };
    this.#entries.set(key, made);
    return made.entry;
  }

  *[Symbol.iterator](): Iterator<[LabelValues, Entry]> {
    for (const { labels, entry } of this.#entries.values()) yield [labels, entry];
  }
}

function line(
  name: string,
  names: readonly string[] | undefined,
  values: LabelValues,
  value: number,
): string {
  const pairs = (names ?? []).map((label, index) => `${label}="${escapeLabel(values[index] ?? "")}"`);
  return `${name}${pairs.length === 0 ? "" : `{${pairs.join(",")}}`} ${value}`;
}

function escapeLabel(value: string): string {
  return value.replace(/[\\"\n]/g, (character) => (character === "\n" ? "\\n" : `\\${character}`));
}
