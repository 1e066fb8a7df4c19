import type { BenchReport, BenchSeries } from "../contract.js";
import { machineLines } from "../machine.js";
import { compare, countVerdicts } from "../statistics.js";
import { figureText, plainText, ratioText } from "./figures.js";

type Row = readonly string[];

const NAME_CHARACTERS_MAX = 60;
const LINE_CHARACTERS_MAX = 600;

/** The report for a terminal: a block for each series, the contestants below each other. Ends with a line break. */
export function renderTable(report: BenchReport): string {
  const blocks = report.series.map((series) => ({
    series,
    rows: rowsOf(series, report.repeatability),
  }));
  const widths = widthsOf(blocks.flatMap(({ rows }) => rows));
  const lines = [plainText(report.question, LINE_CHARACTERS_MAX), ""];
  for (const [name, value] of [...machineLines(report.machine), ...report.conditions]) {
    lines.push(`${plainText(name).padEnd(16)}${plainText(value, LINE_CHARACTERS_MAX)}`);
  }
  for (const { series, rows } of blocks) {
    const better = series.isLessBetter ? "less is better" : "more is better";
    lines.push("", `${plainText(series.subject)}: ${plainText(series.measure)} (${better})`);
    for (const row of rows) lines.push(`  ${aligned(row, widths)}`);
  }
  lines.push("", verdictLine(report), repeatabilityLine(report.repeatability));
  if (report.notes.length > 0) lines.push("", "Before believing the figures:");
  for (const note of report.notes) lines.push(`- ${plainText(note, LINE_CHARACTERS_MAX)}`);
  return `${lines.join("\n")}\n`;
}

function rowsOf(series: BenchSeries, repeatability: number | undefined): readonly Row[] {
  return series.contestants.map((contestant) => {
    const { spread, ratio, verdict, failedRounds } = compare(series, contestant, repeatability);
    const failed = failedRounds === 0 ? "" : `${failedRounds} of ${contestant.values.length} rounds failed`;
    const name = plainText(contestant.name, NAME_CHARACTERS_MAX);
    if (spread === undefined) return [name, "–", "", "", failed === "" ? "not measured" : failed];
    const { unit } = series;
    const range = `(${figureText(spread.least, unit)} to ${figureText(spread.greatest, unit)})`;
    const word = contestant.isBaseline ? "baseline" : (verdict ?? "");
    const remark = [word, failed].filter((text) => text !== "").join(", ");
    return [
      name,
      figureText(spread.median, unit),
      range,
      ratio === undefined ? "" : ratioText(ratio),
      remark,
    ];
  });
}

function widthsOf(rows: readonly Row[]): readonly number[] {
  return [0, 1, 2, 3].map((column) => rows.reduce((widest, row) => Math.max(widest, row[column]!.length), 0));
}

/** Figures and ratios stand at their right edge, words at their left. */
function aligned([name, median, range, ratio, remark]: Row, widths: readonly number[]): string {
  const cells = [
    name!.padEnd(widths[0]!),
    median!.padStart(widths[1]!),
    range!.padEnd(widths[2]!),
    ratio!.padStart(widths[3]!),
  ];
  return [...cells, remark].join("  ").trimEnd();
}

export function verdictLine({ series, repeatability }: BenchReport): string {
  const { better, worse, even } = countVerdicts(series, repeatability);
  const all = better + worse + even;
  return `Against the baseline: better in ${better} of ${all} comparisons, worse in ${worse}, no difference that the rounds bear out in ${even}.`;
}

export function repeatabilityLine(repeatability: number | undefined): string {
  return repeatability === undefined
    ? "Repeatability was not measured."
    : `Two runs of the same thing differed by a ratio of ${ratioText(repeatability)}; ratios nearer to 1 than that count as even.`;
}
