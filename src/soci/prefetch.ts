import { parseJson } from "../bytes/index.js";
import { invalidArgument, type LazuliError } from "../errors/index.js";
import { PREFETCH_BYTES_MAX, PREFETCH_RANGES_MAX } from "./limits.js";

/** Spans to read ahead, both ends included. */
export interface SpanRange {
  readonly first: number;
  readonly last: number;
  /** Lower comes first; 0 where the artifact has none. */
  readonly priority: number;
}

const VERSION = "1.0";
const SPAN_MAX = 2 ** 31 - 1;

/**
 * Reads a prefetch artifact (`application/vnd.amazon.soci.prefetch.v1+json`), whose digest was checked.
 *
 * @throws INVALID_ARGUMENT with reason `soci-prefetch-invalid` or those of parseJson(), RESOURCE_EXHAUSTED
 */
export function parsePrefetch(bytes: Uint8Array): SpanRange[] {
  const budget = { maxBytes: PREFETCH_BYTES_MAX, maxDepth: 8, maxNodes: PREFETCH_RANGES_MAX * 4 + 16 };
  const document = fieldsOf(parseJson(bytes, budget));
  if (document.version !== VERSION) throw malformed(`want version ${VERSION}`);
  const spans = document.prefetch_spans;
  if (!Array.isArray(spans) || spans.length === 0 || spans.length > PREFETCH_RANGES_MAX) {
    throw malformed(`want 1 to ${PREFETCH_RANGES_MAX} ranges of spans`);
  }
  return spans.map((value) => {
    const fields = fieldsOf(value);
    const number = (key: string, least: number): number => {
      const found = fields[key];
      const isWhole = typeof found === "number" && Number.isSafeInteger(found);
      if (isWhole && found >= least && found <= SPAN_MAX) return found + 0;
      throw malformed(`want a whole number for ${key}`);
    };
    const first = number("start_span", 0);
    const last = number("end_span", first);
    return { first, last, priority: fields.priority === undefined ? 0 : number("priority", -SPAN_MAX) };
  });
}

/** Writes a prefetch artifact, its ranges sorted and those of one priority joined. It needs at least one. */
export function encodePrefetch(ranges: readonly SpanRange[]): Buffer {
  const sorted = ranges.toSorted(
    (left, right) => left.priority - right.priority || left.first - right.first || left.last - right.last,
  );
  const joined: { first: number; last: number; priority: number }[] = [];
  for (const range of sorted) {
    const before = joined.at(-1);
    if (before?.priority === range.priority && range.first <= before.last + 1) {
      before.last = Math.max(before.last, range.last);
    } else joined.push({ ...range });
  }
  if (joined.length === 0) throw malformed("want a range of spans");
  const spans = joined.map(({ first, last, priority }) => ({
    start_span: first,
    end_span: last,
    ...(priority === 0 ? {} : { priority }),
  }));
  return Buffer.from(JSON.stringify({ version: VERSION, prefetch_spans: spans }));
}

/** Ranges in the order in which to fetch them, cut to the spans that there are: they are advice only. */
export function usableRanges(ranges: readonly SpanRange[], count: number): SpanRange[] {
  return ranges
    .filter(({ first }) => first < count)
    .map((range) => ({ ...range, last: Math.min(range.last, count - 1) }))
    .sort((left, right) => left.priority - right.priority);
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value as Readonly<Record<string, unknown>>;
  }
  throw malformed("want an object");
}

function malformed(problem: string): LazuliError {
  return invalidArgument(`Cannot read prefetch artifact: ${problem}`, { reason: "soci-prefetch-invalid" });
}
