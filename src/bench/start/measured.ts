import type { StartTrace } from "../../traces/index.js";
import type { BenchContestant, BenchSeries } from "../contract.js";
import { sortedValues, spreadOf } from "../statistics.js";
import type { BroughtFigures, StartFigures } from "./measure-start.js";

/** One measurement, or its failure. */
export interface Measured {
  readonly subject: string;
  readonly contestant: string;
  readonly round: number;
  /** Undefined: it failed. */
  readonly figures: StartFigures | undefined;
  readonly brought: BroughtFigures | undefined;
  readonly trace: StartTrace | undefined;
}

type Take = (measured: Measured) => number | undefined;

const ofFigures =
  (name: keyof StartFigures): Take =>
  ({ figures }) =>
    figures?.[name];

/** What is told of each subject, the most important first. */
const measures: readonly {
  readonly measure: string;
  readonly unit: BenchSeries["unit"];
  readonly isLessBetter?: boolean;
  readonly take: Take;
}[] = [
  { measure: "ready", unit: "ms", take: ofFigures("readyMs") },
  { measure: "first output", unit: "ms", take: ofFigures("firstOutputMs") },
  { measure: "pull", unit: "ms", take: ofFigures("pullMs") },
  { measure: "create", unit: "ms", take: ofFigures("createMs") },
  { measure: "run", unit: "ms", take: ofFigures("runMs") },
  { measure: "bytes fetched", unit: "bytes", take: ofFigures("bytesFetched") },
  {
    measure: "bytes needed",
    unit: "bytes",
    take: ({ trace }) => trace?.touches.reduce((sum, { length }) => sum + length, 0),
  },
  {
    measure: "part of the bytes needed that was here in time",
    unit: "%",
    isLessBetter: false,
    take: partInTime,
  },
  { measure: "part of the bytes prefetched that was not needed", unit: "%", take: partInVain },
  { measure: "requests", unit: "count", take: ofFigures("requests") },
  { measure: "FUSE messages", unit: "count", take: ofFigures("fuseMessages") },
  { measure: "processor time of the daemons", unit: "ms", take: ofFigures("cpuMs") },
  { measure: "memory of the daemons", unit: "bytes", take: ofFigures("residentBytes") },
];

function partInTime({ trace }: Measured): number | undefined {
  if (trace === undefined || trace.touches.length === 0) return undefined;
  const bytesOf = (touches: StartTrace["touches"]): number =>
    touches.reduce((sum, { length }) => sum + length, 0);
  return (100 * bytesOf(trace.touches.filter(({ waitedMs }) => waitedMs === 0))) / bytesOf(trace.touches);
}

function partInVain({ brought }: Measured): number | undefined {
  if (brought === undefined) return undefined;
  const bytes = brought.usedBytes + brought.wasteBytes;
  return bytes === 0 ? undefined : (100 * brought.wasteBytes) / bytes;
}

/** A series for each subject and measure that anybody has a value of. */
export function seriesOf(
  all: readonly Measured[],
  { baseline, rounds }: { readonly baseline: string; readonly rounds: number },
): readonly BenchSeries[] {
  const subjects = [...new Set(all.map(({ subject }) => subject))];
  return subjects.flatMap((subject) => {
    const own = all.filter((one) => one.subject === subject);
    const names = [...new Set(own.map(({ contestant }) => contestant))];
    return measures.flatMap(({ measure, unit, take, isLessBetter = true }) => {
      const contestants = names.map((name) => {
        const mine = own.filter(({ contestant }) => contestant === name);
        const values = Array.from({ length: rounds }, (_, round) => {
          const found = mine.find((one) => one.round === round);
          return found === undefined ? undefined : take(found);
        });
        const trace = measure === "ready" ? medianTrace(mine) : undefined;
        return { name, isBaseline: name === baseline, values, trace };
      });
      const told = contestants.filter(({ values }) => values.some((value) => value !== undefined));
      return told.length === 0 ? [] : [{ subject, measure, unit, isLessBetter, contestants: told }];
    });
  });
}

function medianTrace(own: readonly Measured[]): BenchContestant["trace"] {
  const sorted = own
    .filter(({ figures }) => figures !== undefined)
    .sort((left, right) => left.figures!.readyMs - right.figures!.readyMs);
  return sorted[Math.floor((sorted.length - 1) / 2)]?.trace;
}

/** Of the pairs that were compared, those that were this near to each other. */
const COMPARED_PART = 0.9;

/**
 * The first half of the rounds against the second, of every subject and contestant: nine of ten medians of the times until
 * ready were no further apart than this. Undefined with fewer than two rounds.
 */
export function repeatabilityOf(series: readonly BenchSeries[]): number | undefined {
  const ratios = series
    .filter(({ measure }) => measure === "ready")
    .flatMap(({ contestants }) =>
      contestants.flatMap(({ values }) => {
        const middle = Math.floor(values.length / 2);
        const halves = [values.slice(0, middle), values.slice(middle)].map(sortedValues);
        if (halves.some((half) => half.length === 0)) return [];
        const [left, right] = halves.map((half) => spreadOf(half).median);
        return [Math.max(left! / right!, right! / left!)];
      }),
    )
    .sort((left, right) => left - right);
  return ratios[Math.ceil(ratios.length * COMPARED_PART) - 1];
}
