import type { BenchReport } from "../contract.js";

/** The report for machines: a round that failed is null, what was not measured is left out. Ends with a line break. */
export function renderJson(report: BenchReport): string {
  return `${JSON.stringify(report, null, 1)}\n`;
}
