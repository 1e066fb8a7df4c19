import { invalidArgument, LazuliError } from "../errors/index.js";
import { type Filter, parseFilters } from "../filters/index.js";
import type { Labels } from "./rows.js";

/** Below a map's field, the rest of the path is one key, dots and all. */
export function labelAt(labels: Labels, path: readonly string[]): string | undefined {
  const key = path.join(".");
  return Object.hasOwn(labels, key) ? labels[key] : undefined;
}

/** "" counts as a field that is not there. */
export function presentText(text: string): string | undefined {
  return text === "" ? undefined : text;
}

/** Rows that match the filters of a request. @throws INVALID_ARGUMENT */
export function matching<Row>(
  rows: Iterable<{ readonly value: Row }>,
  filters: readonly string[],
  field: (row: Row, path: readonly string[]) => string | undefined,
): Row[] {
  const matches = parsed(filters);
  const found: Row[] = [];
  for (const { value } of rows) if (matches((path) => field(value, path))) found.push(value);
  return found;
}

/** The tables of containerd say it twice that a filter is no valid argument. */
function parsed(filters: readonly string[]): Filter {
  try {
    return parseFilters(filters);
  } catch (thrown) {
    const { message, reason = "filter-invalid" } = LazuliError.from(thrown);
    throw invalidArgument(`${message}: invalid argument: invalid argument`, { reason, cause: thrown });
  }
}

/** A map of the row with one key as the request has it: `""` or what else stands for nothing when it has none. */
export function withKeyOf<Value>(
  map: Readonly<Record<string, Value>>,
  request: { readonly map: Readonly<Record<string, Value>>; readonly key: string; readonly absent: Value },
): Record<string, Value> {
  const { key, absent } = request;
  const value = Object.hasOwn(request.map, key) ? request.map[key]! : absent;
  return Object.fromEntries([...Object.entries(map).filter(([name]) => name !== key), [key, value]]);
}

/** The key in a path `<field>.<key>`, or undefined for another path. */
export function keyUnder(field: string, path: string): string | undefined {
  return path.startsWith(`${field}.`) ? path.slice(field.length + 1) : undefined;
}
