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
  if (text.isAtEnd) return () => true;
  conditions.push(condition(text));
  while (!text.isAtEnd) {
    if (!text.take(",")) throw text.bad(`unexpected input: ${text.peek()}`);
    conditions.push(condition(text));
  }
  return (read) => conditions.every((holds) => holds(read));
}

function condition(text: FilterText): Filter {
  const path = [field(text)];
  while (text.take(".")) path.push(field(text));
  if (text.isAtEnd || text.peek() === ",") return (read) => read(path) !== undefined;
  // containerd allows spaces before a field, an operator and a value; nowhere else.
  text.skipSpaces();
  const at = text.position;
  const operator = text.match(/[=!~]+/y);
  switch (operator) {
    case "==": {
      const wanted = value(text);
      return (read) => read(path) === wanted;
    }
    case "!=": {
      const unwanted = value(text);
      return (read) => (read(path) ?? "") !== unwanted;
    }
    case "~=": {
      const pattern = new Pattern(patternText(text));
      return (read) => pattern.matches(read(path) ?? "");
    }
    case undefined:
      throw text.bad('expected an operator ("=="|"!="|"~=")', at);
    default:
      throw text.bad(`unsupported operator ${JSON.stringify(operator)}`, at);
  }
}

function field(text: FilterText): string {
  text.skipSpaces();
  if (text.peek() === '"') return text.quoted();
  const name = text.match(/[A-Za-z_][A-Za-z0-9_]*/y);
  if (name === undefined) throw text.bad("expected field or quoted");
  return name;
}

function value(text: FilterText): string {
  text.skipSpaces();
  const first = text.peek();
  if (first === '"') return text.quoted();
  if (first === "/" || first === "|") {
    const at = text.position;
    text.delimited(first);
    throw text.bad("invalid quote encountered", at);
  }
  const found = first === "." ? undefined : text.match(/[^\s,]+/y);
  if (found === undefined) throw text.bad("expected value or quoted");
  return found;
}

function patternText(text: FilterText): string {
  text.skipSpaces();
  const delimiter = text.peek();
  return delimiter === "/" || delimiter === "|" ? text.delimited(delimiter) : value(text);
}
