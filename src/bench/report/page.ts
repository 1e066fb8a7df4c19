import { createHash } from "node:crypto";
import type { BenchReport } from "../contract.js";
import { machineLines } from "../machine.js";
import { countVerdicts } from "../statistics.js";
import { contestantNames, roundsOf } from "./markdown.js";
import { html, Markup, percent } from "./markup.js";
import { pageScript } from "./page-script.js";
import { pageStyle } from "./page-style.js";
import { ratioSection } from "./ratio-section.js";
import { roundsSection } from "./rounds-section.js";
import { startsSection } from "./starts-section.js";
import { repeatabilityLine } from "./terminal.js";

/** A table of more columns is printed across the paper. */
const UPRIGHT_CONTESTANTS_MAX = 6;

/**
 * The report as one page that needs nothing else: no network, no other file. Its policy lets only its own style and
 * script run, whatever a name in it says.
 */
export function renderHtml(report: BenchReport): string {
  const isWide = contestantNames(report.series).length > UPRIGHT_CONTESTANTS_MAX;
  const policy = `default-src 'none'; style-src '${hashOf(pageStyle)}'; script-src '${hashOf(pageScript)}'; base-uri 'none'; form-action 'none'`;
  const starts = startsSection(report);
  const page = html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="${new Markup(policy)}"><meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark"><title>lazuli bench ${report.kind}: ${report.question}</title><style>${new Markup(pageStyle)}</style></head>
<body class="${isWide ? "wide" : "upright"}">${patterns()}<a class="skip" href="#main">To the figures</a>
<header><p class="kicker">lazuli bench ${report.kind}</p><h1>${report.question}</h1><p class="when"><time datetime="${report.startedAt}">${report.startedAt}</time> · commit <code>${report.machine.commit}</code> · up to ${roundsOf(report.series)} rounds</p>
${summaryOf(report)}
<nav aria-label="Sections"><a href="#ratios">Ratios</a><a href="#rounds">All rounds</a>${starts === undefined ? undefined : html`<a href="#starts">Starts</a>`}<a href="#conditions">Conditions</a></nav></header>
<main id="main">${ratioSection(report)}${roundsSection(report)}${starts}${conditionsOf(report)}</main>
<footer><p>Made by <code>lazuli bench ${report.kind}</code>. Ratios within one run are what this page shows; absolute figures hold for this machine only.</p></footer>
<script>${new Markup(pageScript)}</script></body></html>
`;
  return page.text;
}

function hashOf(text: string): string {
  return `sha256-${createHash("sha256").update(text).digest("base64")}`;
}

/** How the comparisons ended, and what to know before any of them. */
function summaryOf(report: BenchReport): Markup {
  const counts = countVerdicts(report.series, report.repeatability);
  const all = counts.better + counts.worse + counts.even;
  const words = {
    better: "better than the baseline",
    worse: "worse than the baseline",
    even: "no difference borne out",
  };
  let from = 0;
  const kinds = (["better", "even", "worse"] as const).map((kind) => {
    const x = percent(from, all);
    from += counts[kind];
    return {
      tally: html`<div class="tally ${kind}"><dt>${words[kind]}</dt><dd>${counts[kind]}</dd></div>`,
      part: html`<rect class="share ${kind}" x="${x}" y="0" height="14" width="${percent(counts[kind], all)}"/>`,
    };
  });
  const notes = [repeatabilityLine(report.repeatability), ...report.notes];
  return html`<div class="summary"><dl class="tallies">${kinds.map(({ tally }) => tally)}</dl><svg class="shares" height="14" role="img" aria-label="Of ${all} comparisons ${counts.better} better, ${counts.even} even, ${counts.worse} worse">${kinds.map(({ part }) => part)}</svg></div>
<aside aria-labelledby="notes-title"><h2 id="notes-title">Before believing the figures</h2><ul>${notes.map((note) => html`<li>${note}</li>`)}</ul></aside>`;
}

function conditionsOf(report: BenchReport): Markup {
  const list = (pairs: readonly (readonly [string, string])[]): readonly Markup[] =>
    pairs.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`);
  return html`<section id="conditions" aria-labelledby="conditions-title"><h2 id="conditions-title">Conditions and machine</h2><div class="facts"><dl>${list(report.conditions)}</dl><dl>${list(machineLines(report.machine))}</dl></div></section>`;
}

/** What tells areas apart without colour. Lines are of the page's colours, so they turn with them. */
function patterns(): Markup {
  return html`<svg class="defs" width="0" height="0" aria-hidden="true"><defs>
<pattern id="p-slash" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect class="pb vain" width="6" height="6"/><rect class="pl vain" width="2" height="6"/></pattern>
<pattern id="p-prefetch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect class="pb prefetch" width="6" height="6"/><rect class="pl prefetch" width="3" height="6"/></pattern>
<pattern id="p-dots" width="5" height="5" patternUnits="userSpaceOnUse"><rect class="pb filled" width="5" height="5"/><circle class="pl filled" cx="2.5" cy="2.5" r="1.2"/></pattern>
<pattern id="p-lines" width="4" height="4" patternUnits="userSpaceOnUse"><rect class="pb along" width="4" height="4"/><rect class="pl along" width="4" height="1"/></pattern>
<pattern id="p-cross" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(-45)"><rect class="pb waited" width="6" height="6"/><rect class="pl waited" width="1.5" height="6"/><rect class="pl waited" width="6" height="1.5"/></pattern>
</defs></svg>`;
}
