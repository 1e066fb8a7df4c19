import type { BenchContestant, BenchReport, BenchSeries } from "../contract.js";
import { baselineOf, percentile, sortedValues } from "../statistics.js";
import { type Scale, scaleOf } from "./axis.js";
import { figureText, plainText } from "./figures.js";
import { groupBy } from "./group-by.js";
import { html, type Markup, percent } from "./markup.js";

/** A strip of more dots is a smear: of so many rounds, evenly chosen ones are drawn. */
const DOTS_MAX = 200;
const HEIGHT = 26;

/** All rounds of all contestants as dots on one axis for each series, with the 50th, 90th and 99th percentile. */
export function roundsSection(report: BenchReport): Markup {
  const groups = groupBy(report.series, ({ subject }) => subject);
  const subjects = [...groups].map(
    ([subject, all]) =>
      html`<section class="subject"><h3>${plainText(subject)}</h3><div class="panels">${all.map((series) => panelOf(series))}</div></section>`,
  );
  return html`<section id="rounds" aria-labelledby="rounds-title"><h2 id="rounds-title">All rounds</h2>
<p class="lead">${legendMark("dot")} one round, ${legendMark("dot baseline")} of the baseline, ${legendMark("box")} half to nine tenths of the rounds (p50 to p90), ${legendMark("p50")} p50, ${legendMark("p99")} p99, ${legendMark("rule")} the baseline’s median. Percentiles are by nearest rank: of fewer than a hundred rounds, p99 is the greatest.</p>${subjects}</section>`;
}

function panelOf(series: BenchSeries): Markup {
  const sorted = new Map(series.contestants.map((one) => [one, sortedValues(one.values)]));
  const all = [...sorted.values()].flat();
  const medians = [...sorted.values()]
    .filter((values) => values.length > 0)
    .map((values) => percentile(values, 50));
  const scale = scaleOf(all, medians);
  const base = sortedValues(baselineOf(series)?.values ?? []);
  const baseline = base.length === 0 ? undefined : percentile(base, 50);
  const rows = series.contestants.map((contestant) =>
    rowOf({ contestant, series, scale, baseline, sorted: sorted.get(contestant)! }),
  );
  const wanted = series.isLessBetter ? "less is better" : "more is better";
  const axis = scale.isLogarithmic ? "logarithmic axis" : "axis from 0";
  return html`<div class="panel scroll" role="region" aria-label="${plainText(series.subject)}: ${plainText(series.measure)}" tabindex="0"><table class="rounds"><caption>${plainText(series.measure)} <small>${wanted}, ${axis}</small></caption>
<thead><tr><th scope="col">Contestant</th><td></td><th scope="col">p50</th><th scope="col">p90</th><th scope="col">p99</th></tr></thead><tbody>${rows}</tbody></table></div>`;
}

function rowOf(options: {
  readonly contestant: BenchContestant;
  readonly series: BenchSeries;
  readonly sorted: readonly number[];
  readonly scale: Scale;
  readonly baseline: number | undefined;
}): Markup {
  const { contestant, series, sorted, scale, baseline } = options;
  const failedRounds = contestant.values.length - sorted.length;
  const failed = failedRounds === 0 ? undefined : html`<small class="failed">${failedRounds} failed</small>`;
  const mark = contestant.isBaseline ? html`<small>baseline</small>` : undefined;
  const name = html`<th scope="row">${plainText(contestant.name)}${mark}${failed}</th>`;
  if (sorted.length === 0)
    return html`<tr>${name}<td class="plot"></td><td colspan="3" class="none">no round</td></tr>`;
  const places = [50, 90, 99].map((rank) => percentile(sorted, rank));
  const cells = places.map((value) => html`<td class="figure">${figureText(value, series.unit)}</td>`);
  return html`<tr>${name}<td class="plot">${stripOf({ sorted, places, scale, baseline, isBaseline: contestant.isBaseline })}</td>${cells}</tr>`;
}

function stripOf(options: {
  readonly sorted: readonly number[];
  readonly places: readonly number[];
  readonly scale: Scale;
  readonly baseline: number | undefined;
  readonly isBaseline: boolean;
}): Markup {
  const { sorted, places, scale, baseline, isBaseline } = options;
  /** Dots at both ends stay whole. */
  const x = (value: number): string => percent(2 + 96 * scale.place(value), 100);
  const middle = HEIGHT / 2;
  const [p50 = 0, p90 = 0, p99 = 0] = places;
  const width = percent(96 * (scale.place(p90) - scale.place(p50)), 100);
  const step = Math.max(1, sorted.length / DOTS_MAX);
  const dots = Array.from({ length: Math.min(DOTS_MAX, sorted.length) }, (_, index) => {
    const place = x(sorted[Math.floor(index * step)]!);
    return html`<circle class="dot${isBaseline ? " baseline" : ""}" cx="${place}" cy="${middle}" r="3.2"/>`;
  });
  const rule =
    baseline === undefined
      ? undefined
      : html`<line class="rule" x1="${x(baseline)}" x2="${x(baseline)}" y1="0" y2="${HEIGHT}"/>`;
  return html`<svg height="${HEIGHT}" aria-hidden="true"><line class="base" x1="2%" x2="98%" y1="${middle}" y2="${middle}"/>${rule}<rect class="box" x="${x(p50)}" width="${width}" y="${middle - 7}" height="14"/>${dots}<line class="p50" x1="${x(p50)}" x2="${x(p50)}" y1="${middle - 9}" y2="${middle + 9}"/><line class="p99" x1="${x(p99)}" x2="${x(p99)}" y1="${middle - 6}" y2="${middle + 6}"/></svg>`;
}

function legendMark(kind: string): Markup {
  const shapes: Readonly<Record<string, Markup>> = {
    dot: html`<circle class="dot" cx="9" cy="8" r="3.2"/>`,
    "dot baseline": html`<circle class="dot baseline" cx="9" cy="8" r="3.2"/>`,
    box: html`<rect class="box" x="1" y="2" width="16" height="12"/>`,
    p50: html`<line class="p50" x1="9" x2="9" y1="1" y2="15"/>`,
    p99: html`<line class="p99" x1="9" x2="9" y1="3" y2="13"/>`,
    rule: html`<line class="rule" x1="9" x2="9" y1="0" y2="16"/>`,
  };
  return html`<svg class="key" width="18" height="16" aria-hidden="true">${shapes[kind]}</svg>`;
}
