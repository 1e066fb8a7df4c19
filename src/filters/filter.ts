import { FilterText } from "./filter-text.js";
import { Pattern } from "./pattern.js";

/** Reads one field of a thing: undefined where it has none. */
export type FieldReader = (path: readonly string[]) => string | undefined;
export type Filter = (read: FieldReader) => boolean;

/** Filters of one call. */
const FILTERS_MAX = 1024;

/**
 * Reads filters in containerd's language (pkg/filters): `field[.field…]` or `field==value`, `!=`, `~=` for a pattern;
 * a comma joins conditions that must all hold; of several filters one must match; no filter matches all.
 * @throws INVALID_ARGUMENT
 */
export function parseFilters(texts: readonly string[]): Filter {
  if (texts.length > FILTERS_MAX) throw new FilterText("").bad(`want at most ${FILTERS_MAX} filters`);
  const filters = texts.map(parseFilter);
  return (read) => filters.length === 0 || filters.some((filter) => filter(read));
}

function parseFilter(source: string): Filter {
  const text = new FilterText(source);
  const conditions: Filter[] = [];
  while (!text.isAtEnd) {
    conditions.push(condition(text));
    if (text.isAtEnd) break;
    if (!text.take(",")) throw text.bad("want a comma between conditions");
    if (text.isAtEnd) throw text.bad("want a condition after a comma");
  }
  return (read) => conditions.every((holds) => holds(read));
}

function condition(text: FilterText): Filter {
  const path = [field(text)];
  while (text.take(".")) path.push(field(text));
  // containerd allows spaces before a field, an operator and a value; nowhere else.
  const hasSpaces = text.skipSpaces();
  if (text.take("==")) {
    const wanted = value(text);
    return (read) => read(path) === wanted;
  }
  if (text.take("!=")) {
    const unwanted = value(text);
    return (read) => (read(path) ?? "") !== unwanted;
  }
  if (text.take("~=")) {
    const pattern = new Pattern(patternText(text));
    return (read) => pattern.matches(read(path) ?? "");
  }
  if (hasSpaces) throw text.bad("want an operator after spaces");
  return (read) => read(path) !== undefined;
}

function field(text: FilterText): string {
  text.skipSpaces();
  if (text.peek() === '"') return text.quoted();
  const name = text.match(/[A-Za-z_][A-Za-z0-9_]*/y);
  if (name === undefined) throw text.bad("want the name of a field");
  return name;
}

function value(text: FilterText): string {
  text.skipSpaces();
  if (text.peek() === '"') return text.quoted();
  const found = text.match(/[^\s,]+/y);
  if (found === undefined) throw text.bad("want a value");
  return found;
}

function patternText(text: FilterText): string {
  text.skipSpaces();
  const delimiter = text.peek();
  return delimiter === "/" || delimiter === "|" ? text.delimited(delimiter) : value(text);
}
