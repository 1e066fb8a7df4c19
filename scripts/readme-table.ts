/**
 * Writes the table of a benchmark's report into README.md, between the markers of its kind.
 *
 *     node dist/scripts/readme-table.js REPORT.json [--readme FILE] [--only TEXT]...
 */
import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { parseReport, renderMarkdown, replaceTable } from "../src/bench/report/index.js";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    readme: { type: "string", default: fileURLToPath(new URL("../../README.md", import.meta.url)) },
    only: { type: "string", multiple: true, default: [] },
  },
});
const [file] = positionals;
if (file === undefined || positionals.length > 1) {
  console.error("Usage: node dist/scripts/readme-table.js REPORT.json [--readme FILE] [--only TEXT]...");
  process.exit(2);
}
const report = parseReport(await readFile(file));
const table = renderMarkdown(report, { only: values.only });
await writeFile(
  values.readme,
  replaceTable(await readFile(values.readme, "utf8"), { kind: report.kind, table }),
);
