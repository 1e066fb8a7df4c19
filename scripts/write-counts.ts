/**
 * Writes what the tests ran, as they counted it themselves in build/counts, into the table of docs/testing.md.
 *
 *     node dist/scripts/write-counts.js
 */
import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { type Counts, readCounts } from "../testing/counts/index.js";

const page = fileURLToPath(new URL("../../docs/testing.md", import.meta.url));
const START = "<!-- counts -->";
const END = "<!-- /counts -->";

function row({ name, what, figures }: Counts): string {
  const shown = Object.entries(figures).map(([key, figure]) => `${figure.toLocaleString("en-US")} ${key}`);
  return `| ${what} | ${shown.join(", ")} | \`${name}\` |`;
}

const counts = await readCounts();
if (counts.length === 0)
  throw new Error("Cannot write the counts: no test has counted yet; run npm test first");
const table = ["| What | Counted | Test |", "| --- | --- | --- |", ...counts.map(row)].join("\n");
const text = await readFile(page, "utf8");
const start = text.indexOf(START);
const end = text.indexOf(END);
if (start < 0 || end < start) throw new Error(`Cannot write the counts: ${page} has no ${START} and ${END}`);
await writeFile(page, `${text.slice(0, start + START.length)}\n${table}\n${text.slice(end)}`);
