import { parseReport, renderHtml, renderTable } from "../../../src/bench/report/index.js";
import { refusing } from "../target.js";

/** What is taken can be shown. */
export const fuzz = refusing((bytes) => {
  const report = parseReport(bytes);
  renderTable(report);
  renderHtml(report);
});
