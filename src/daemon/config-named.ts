import { LazuliError, nearestWord } from "../errors/index.js";
import { requireIdentifier } from "../metadata/index.js";
import type { Field } from "./config-fields.js";
import { type NamedTable, namedTables } from "./config-named-tables.js";

/** More tables of one kind than this are a mistake. */
const TABLES_MAX = 64;

type Values = Record<string, unknown>;

/** The named tables of a document, by their kinds' names in `Config`. Notes what is wrong. */
export function readNamedTables(document: Record<string, unknown>, problems: string[]): Values {
  return Object.fromEntries(
    namedTables.map((table) => [table.name, readKind(table, valueAt(document, table.key), problems)]),
  );
}

/** What stands at a path such as `cri.runtime.runtimes`. */
export function valueAt(document: Record<string, unknown>, path: string): unknown {
  let value: unknown = document;
  for (const part of path.split(".")) value = isTable(value) ? value[part] : undefined;
  return value;
}

function readKind(table: NamedTable, value: unknown, problems: string[]): Record<string, Values> {
  if (value !== undefined && !isTable(value)) {
    problems.push(`"${table.key}" must hold tables, written [${table.key}.${table.example}]`);
    return {};
  }
  const entries = Object.entries({ ...table.initial, ...value });
  if (entries.length > TABLES_MAX) {
    problems.push(`[${table.key}]: want at most ${TABLES_MAX} tables, got ${entries.length}`);
    return {};
  }
  // No prototype: a table may have any name.
  const read: Record<string, Values> = Object.create(null);
  for (const [name, one] of entries) {
    const path = `${table.key}.${name}`;
    if (!isTable(one)) problems.push(`"${path}" must be a table, written [${table.key}.${table.example}]`);
    else if (isName(name, path, problems)) read[name] = readTable(table, { path, values: one, problems });
  }
  return read;
}

function isName(name: string, path: string, problems: string[]): boolean {
  try {
    requireIdentifier(name);
    return true;
  } catch (thrown) {
    problems.push(`[${path}]: ${LazuliError.from(thrown).message}`);
    return false;
  }
}

interface Reading {
  readonly path: string;
  readonly values: Values;
  readonly problems: string[];
}

function readTable(table: NamedTable, { path, values, problems }: Reading): Values {
  const keys = Object.values(table.fields).map(({ key }) => key);
  for (const key of Object.keys(values)) {
    if (keys.includes(key)) continue;
    const meant = nearestWord(key, keys);
    problems.push(
      `unknown key "${key}" in [${path}]${meant === undefined ? "" : `, did you mean "${meant}"?`}`,
    );
  }
  return Object.fromEntries(
    Object.entries(table.fields).map(([name, field]) => [
      name,
      fieldValue(field, { path, values, problems }),
    ]),
  );
}

function fieldValue(field: Field<unknown>, { path, values, problems }: Reading): unknown {
  const value = values[field.key];
  if (value === undefined) {
    if (field.isMandatory) problems.push(`${path}.${field.key} is missing: want ${field.kind.wanted}`);
    return field.initial;
  }
  try {
    return field.kind.fromToml(value);
  } catch (thrown) {
    if (!(thrown instanceof LazuliError)) throw thrown;
    problems.push(`${path}.${field.key}: ${thrown.message.replace(/^Cannot read [a-z]+: /, "")}`);
    return field.initial;
  }
}

export function isTable(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date);
}
