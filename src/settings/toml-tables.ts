import { isDeepStrictEqual } from "node:util";

/** A TOML document or table. */
export type TomlTable = Record<string, unknown>;

export function isTomlTable(value: unknown): value is TomlTable {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date);
}

/** The table at a path; undefined where there is none. */
export function tableAt(document: TomlTable, path: readonly string[]): TomlTable | undefined {
  let at: unknown = document;
  for (const part of path) at = isTomlTable(at) ? ownValue(at, part) : undefined;
  return isTomlTable(at) ? at : undefined;
}

/** What a table has under a name of its own, so that `constructor` is no hit. */
export function ownValue(table: TomlTable, key: string): unknown {
  return Object.hasOwn(table, key) ? table[key] : undefined;
}

/** Sets a value, and makes the tables on the way. What is no table on the way is replaced. */
export function setAt(document: TomlTable, path: readonly string[], value: unknown): void {
  let at = document;
  for (const part of path.slice(0, -1)) {
    const next = ownValue(at, part);
    if (isTomlTable(next)) at = next;
    else {
      const made: TomlTable = {};
      define(at, part, made);
      at = made;
    }
  }
  define(at, path.at(-1)!, value);
}

/** Takes a value out of its table and returns it. */
export function takeAt(document: TomlTable, path: readonly string[]): unknown {
  const table = tableAt(document, path.slice(0, -1));
  const key = path.at(-1)!;
  if (table === undefined || !Object.hasOwn(table, key)) return undefined;
  const value = table[key];
  delete table[key];
  return value;
}

/** Moves a value where it is there and its new place is free. */
export function moveAt(document: TomlTable, from: readonly string[], to: readonly string[]): void {
  const value = takeAt(document, from);
  if (value === undefined) return;
  const inPlace = tableAt(document, to);
  if (isTomlTable(value) && inPlace !== undefined) mergeTables(inPlace, value);
  else setAt(document, to, value);
}

/** Lays `over` on `base`, in place: tables are merged, lists are joined without doubles, the rest is replaced. */
export function mergeTables(base: TomlTable, over: TomlTable): void {
  for (const [key, value] of Object.entries(over)) {
    const below = ownValue(base, key);
    if (isTomlTable(below) && isTomlTable(value)) mergeTables(below, value);
    else if (Array.isArray(below) && Array.isArray(value)) define(base, key, joinLists(below, value));
    else define(base, key, value);
  }
}

function joinLists(left: readonly unknown[], right: readonly unknown[]): unknown[] {
  const joined: unknown[] = [];
  for (const value of [...left, ...right]) {
    if (!joined.some((known) => isDeepStrictEqual(known, value))) joined.push(value);
  }
  return joined;
}

/** A plain property under any name, `__proto__` too. */
function define(table: TomlTable, key: string, value: unknown): void {
  Object.defineProperty(table, key, { value, writable: true, enumerable: true, configurable: true });
}
