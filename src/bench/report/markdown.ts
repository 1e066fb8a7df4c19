import { invalidArgument } from "../../errors/index.js";
import type { BenchReport, BenchSeries } from "../contract.js";
import { compare } from "../statistics.js";
import { figureText, plainText, ratioText } from "./figures.js";

export interface MarkdownOptions {
  /** Only series whose subject or measure has one of these texts; empty: all. */
  readonly only?: readonly string[];
}

/** The report as a table for the README: a line for each series, medians and ratios, the best of a line in bold. */
export function renderMarkdown(report: BenchReport, { only = [] }: MarkdownOptions = {}): string {
  const chosen = report.series.filter(
    ({ subject, measure }) =>
      only.length === 0 || only.some((text) => subject.includes(text) || measure.includes(text)),
  );
  const names = contestantNames(chosen);
  const rounds = roundsOf(chosen);
  const { machine } = report;
  const head = ["", ...names.map(cellText)];
  const lines = [
    line(head),
    line(head.map(() => "---")),
    ...chosen.map((series) => line(rowOf(series, names, report.repeatability))),
  ];
  const facts = [
    machine.processors,
    bytesOfMemory(machine.memoryBytes),
    machine.kernel,
    machine.distribution,
  ];
  const when = report.startedAt.slice(0, 10);
  return [
    ...lines,
    "",
    `Medians of ${rounds}, ratio to the baseline in brackets, the best in bold; ${cellText(when)}, commit ${cellText(machine.commit)}, ${facts.map(cellText).join(", ")}.`,
  ].join("\n");
}

/**
 * Puts a table between `<!-- bench:KIND -->` and `<!-- /bench:KIND -->`; all other text stays.
 * @throws INVALID_ARGUMENT `markers-missing` unless both are there once, in this order
 */
export function replaceTable(
  text: string,
  { kind, table }: { readonly kind: BenchReport["kind"]; readonly table: string },
): string {
  const [open, close] = [`<!-- bench:${kind} -->`, `<!-- /bench:${kind} -->`];
  const [before, inner, ...more] = text.split(open);
  const [old, after, ...others] = (inner ?? "").split(close);
  if (old === undefined || after === undefined || more.length > 0 || others.length > 0) {
    throw invalidArgument(`Cannot put the table into the text: want ${open} and ${close} once each`, {
      reason: "markers-missing",
      hint: "Put both comments around the place where the table is to stand, on lines of their own",
    });
  }
  return `${before}${open}\n${table}\n${close}${after}`;
}

/** All contestants in the order in which they come first. */
export function contestantNames(all: readonly BenchSeries[]): readonly string[] {
  return [...new Set(all.flatMap(({ contestants }) => contestants.map(({ name }) => name)))];
}

/** The most that any contestant ran. */
export function roundsOf(all: readonly BenchSeries[]): number {
  const contestants = all.flatMap((series) => series.contestants);
  return contestants.reduce((most, { values }) => Math.max(most, values.length), 0);
}

function rowOf(series: BenchSeries, names: readonly string[], repeatability: number | undefined): string[] {
  const medians = series.contestants.map((one) => compare(series, one, repeatability).spread?.median);
  const known = medians.filter((median) => median !== undefined);
  const best = series.isLessBetter ? Math.min(...known) : Math.max(...known);
  const cells = names.map((name) => {
    const contestant = series.contestants.find((one) => one.name === name);
    if (contestant === undefined) return "–";
    const { spread, ratio } = compare(series, contestant, repeatability);
    if (spread === undefined) return "failed";
    const figure = figureText(spread.median, series.unit);
    const shown = spread.median === best && new Set(known).size > 1 ? `**${figure}**` : figure;
    return ratio === undefined || contestant.isBaseline ? shown : `${shown} (${ratioText(ratio)})`;
  });
  return [`${cellText(series.subject)}: ${cellText(series.measure)}`, ...cells];
}

function line(cells: readonly string[]): string {
  return `| ${cells.join(" | ")} |`;
}

function bytesOfMemory(bytes: number): string {
  return `${Math.round(bytes / 2 ** 30)} GiB`;
}

/** Nothing in a name is markup, and none ends its cell. */
function cellText(text: string): string {
  return plainText(text, 100)
    .replace(/&/g, "&amp;")
    .replace(/</g, "&lt;")
    .replace(/[\\`*_{}[\]|~]/g, "\\$&");
}
