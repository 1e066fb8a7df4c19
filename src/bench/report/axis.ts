/** Places on an axis that a reader can count by: 0, 200, 400 … */
export function niceTicks(greatest: number, countMax: number): readonly number[] {
  if (!(greatest > 0) || !Number.isFinite(greatest)) return [0];
  const rough = greatest / countMax;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => greatest / size <= countMax)!;
  return Array.from({ length: Math.floor(greatest / step) + 1 }, (_, index) => index * step);
}

/** Where a value lies between 0 and 1. */
export interface Scale {
  readonly isLogarithmic: boolean;
  place(value: number): number;
}

/** Beyond this, a linear scale would press the best ones into one spot. */
const LINEAR_RATIO_MAX = 40;

/** Linear from 0; logarithmic where the medians lie too far apart for that. */
export function scaleOf(values: readonly number[], medians: readonly number[]): Scale {
  const greatest = values.reduce((most, value) => Math.max(most, value), 0);
  const least = values.reduce((fewest, value) => Math.min(fewest, value), Number.POSITIVE_INFINITY);
  const [low, high] = [Math.min(...medians), Math.max(...medians)];
  const isLogarithmic = least > 0 && high / low > LINEAR_RATIO_MAX;
  if (!isLogarithmic) return { isLogarithmic, place: (value) => (greatest === 0 ? 0 : value / greatest) };
  const [from, to] = [Math.log(least) - 0.2, Math.log(greatest)];
  return { isLogarithmic, place: (value) => (Math.log(value) - from) / (to - from) };
}

interface Span {
  readonly from: number;
  readonly to: number;
}

/** Puts spans into as few lanes as they need without overlapping; what comes after `lanesMax` shares the last lane. */
export function packLanes<Item extends Span>(spans: readonly Item[], lanesMax: number): readonly Item[][] {
  const lanes: Item[][] = [];
  const ends: number[] = [];
  for (const span of spans.toSorted((left, right) => left.from - right.from)) {
    const free = ends.findIndex((end) => end <= span.from);
    const lane = free >= 0 ? free : Math.min(lanes.length, lanesMax - 1);
    lanes[lane] ??= [];
    lanes[lane].push(span);
    ends[lane] = Math.max(ends[lane] ?? 0, span.to);
  }
  return lanes;
}
