import { writeFile } from "node:fs/promises";
import { type BenchReport, renderHtml, renderJson, renderTable } from "../bench/index.js";
import type { CommandInput, CommandResult } from "./command.js";

/** Writes a report where `--json` and `--html` say; the table is for the terminal. */
export async function writeReport(input: CommandInput, report: BenchReport): Promise<CommandResult> {
  const [json, html] = [input.options.json?.at(-1), input.options.html?.at(-1)];
  if (json !== undefined) await writeFile(json, renderJson(report));
  if (html !== undefined) await writeFile(html, renderHtml(report));
  process.stdout.write(renderTable(report));
  return { data: undefined, text: "", isPrinted: true };
}
