/**
 * Writes what the tests ran, as they counted it themselves in build/counts, into the table of docs/testing.md.
 *
 *     node dist/scripts/write-counts.js
 */
import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { type Counts, readCounts } from "../testing/counts/index.js";
import { goalRows } from "./goals.js";

const page = fileURLToPath(new URL("../../docs/testing.md", import.meta.url));
function row({ name, what, figures }: Counts): string {
  const shown = Object.entries(figures).map(([key, figure]) => `${figure.toLocaleString("en-US")} ${key}`);
  return `| ${what} | ${shown.join(", ")} | \`${name}\` |`;
}

/** The page with these lines between its marks. */
function between(text: string, mark: string, lines: readonly string[]): string {
  const [opening, closing] = [`<!-- ${mark} -->`, `<!-- /${mark} -->`];
  const start = text.indexOf(opening);
  const end = text.indexOf(closing);
  if (start < 0 || end < start)
    throw new Error(`Cannot write the counts: ${page} has no ${opening} and ${closing}`);
  return `${text.slice(0, start + opening.length)}\n${lines.join("\n")}\n${text.slice(end)}`;
}

const counts = await readCounts();
if (counts.length === 0)
  throw new Error("Cannot write the counts: no test has counted yet; run npm test first");
const table = ["| What | Counted | Test |", "| --- | --- | --- |", ...counts.map(row)];
await writeFile(
  page,
  [["counts", table] as const, ["goals", goalRows(counts)] as const].reduce(
    (text, [mark, rows]) => between(text, mark, rows),
    await readFile(page, "utf8"),
  ),
);
