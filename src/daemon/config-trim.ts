import { isDeepStrictEqual } from "node:util";
import { stringify } from "smol-toml";
import { configKeys } from "./config-keys.js";
import { isTable, valueAt } from "./config-named.js";
import { CONFIG_VERSION } from "./config-version.js";

type Document = Record<string, unknown>;

/** A config as a file, without what is the default anyway. The document was read by `readConfig` before. */
export function configText(document: Document): string {
  const trimmed = structuredClone(document);
  for (const { table, field } of configKeys) {
    const at = table === "" ? trimmed : valueAt(trimmed, table);
    if (!isTable(at) || at[field.key] === undefined) continue;
    if (isDeepStrictEqual(field.kind.fromToml(at[field.key]), field.initial)) delete at[field.key];
  }
  return `${stringify({ version: CONFIG_VERSION, ...withoutEmptyTables(trimmed) })}\n`;
}

function withoutEmptyTables(table: Document): Document {
  const entries = Object.entries(table).map(([key, value]): [string, unknown] => [
    key,
    isTable(value) ? withoutEmptyTables(value) : value,
  ]);
  return Object.fromEntries(entries.filter(([, value]) => !isTable(value) || Object.keys(value).length > 0));
}
