/**
 * A report of a benchmark as what people and machines read: a table in the terminal, JSON, one HTML page, the README's table.
 *
 *     process.stdout.write(renderTable(report));
 *     await writeFile("report.html", renderHtml(report));
 *     const again = parseReport(await readFile("report.json"));
 *
 * Names of images, commands and contestants are strangers' bytes: each renderer cleans them for what it writes.
 */
export { renderJson } from "./json.js";
export { renderMarkdown, replaceTable } from "./markdown.js";
export { renderHtml } from "./page.js";
export { parseReport } from "./parse-report.js";
export { renderTable } from "./terminal.js";
