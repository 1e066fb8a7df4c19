import type { BenchReport, BenchSeries } from "../contract.js";
import { compare } from "../statistics.js";
import { figureText, plainText, ratioText } from "./figures.js";
import { groupBy } from "./group-by.js";
import { contestantNames } from "./markdown.js";
import { html, type Markup } from "./markup.js";

/** Every figure of every contestant beside the baseline. */
export function ratioSection(report: BenchReport): Markup {
  const names = contestantNames(report.series);
  const groups = groupBy(report.series, ({ subject }) => subject);
  const heads = names.map((name) => html`<th scope="col">${plainText(name)}</th>`);
  const bodies = [...groups].map(
    ([subject, all]) =>
      html`<tbody><tr><th class="group" scope="rowgroup" colspan="${names.length + 1}">${plainText(subject)}</th></tr>${all.map(
        (series) => rowOf(series, names, report.repeatability),
      )}</tbody>`,
  );
  return html`<section id="ratios" aria-labelledby="ratios-title"><h2 id="ratios-title">Ratios</h2>
<p class="lead">Median of the rounds, least and greatest below. The ratio is to the baseline of its row; <span class="verdict better">better</span> and <span class="verdict worse">worse</span> take into account whether less or more is wanted, <span class="verdict even">even</span> is a difference that the rounds don’t bear out.</p>
<div class="scroll" role="region" aria-label="Table of ratios" tabindex="0"><table class="ratios"><thead><tr><th scope="col">Measure</th>${heads}</tr></thead>${bodies}</table></div></section>`;
}

function rowOf(series: BenchSeries, names: readonly string[], repeatability: number | undefined): Markup {
  const wanted = series.isLessBetter ? "less is better" : "more is better";
  const cells = names.map((name) => cellOf(series, name, repeatability));
  return html`<tr><th scope="row">${plainText(series.measure)}<small>${wanted}</small></th>${cells}</tr>`;
}

function cellOf(series: BenchSeries, name: string, repeatability: number | undefined): Markup {
  const contestant = series.contestants.find((one) => one.name === name);
  if (contestant === undefined) return html`<td class="none"><span aria-label="not measured">–</span></td>`;
  const { spread, ratio, verdict, failedRounds } = compare(series, contestant, repeatability);
  const failed =
    failedRounds === 0
      ? undefined
      : html`<small class="failed">${failedRounds} of ${contestant.values.length} failed</small>`;
  if (spread === undefined) return html`<td class="none">–${failed}</td>`;
  const figures = html`<small>${figureText(spread.median, series.unit)}<span class="range"> ${figureText(spread.least, series.unit)} to ${figureText(spread.greatest, series.unit)}</span></small>${failed}`;
  if (contestant.isBaseline) return html`<td><b>baseline</b>${figures}</td>`;
  const shown = ratio === undefined ? "–" : ratioText(ratio);
  const word = verdict === undefined ? undefined : html` <span class="verdict ${verdict}">${verdict}</span>`;
  return html`<td><b>${shown}</b>${word}${figures}</td>`;
}
