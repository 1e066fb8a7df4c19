const light = `
  color-scheme: light;
  --paper: #ffffff; --card: #f6f7fa; --ink: #16191f; --soft: #545c6b; --line: #d5dae3; --faint: #e9ecf2;
  --lapis: #1d4fbf; --lapis-soft: #b9cbf2; --amber: #a94a05; --amber-soft: #fbd9b5; --teal: #0b6e63; --teal-soft: #bfe5df;
  --violet: #6a3fa8; --violet-soft: #ddcff2; --bad: #a3172b; --good: #0b6b3a;`;

const dark = `
  color-scheme: dark;
  --paper: #10141b; --card: #181e28; --ink: #e9edf4; --soft: #a5afbf; --line: #364052; --faint: #232b38;
  --lapis: #86abff; --lapis-soft: #2d4580; --amber: #f6a95b; --amber-soft: #5f3b16; --teal: #5fd0c1; --teal-soft: #1d4d48;
  --violet: #c3a2f5; --violet-soft: #46336a; --bad: #ff8a94; --good: #6fd69b;`;

/** Light first; dark where the reader's system is; paper is always light. */
export const pageStyle = `
:root {${light}
}
@media screen and (prefers-color-scheme: dark) { :root {${dark}
} }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0 auto; padding: 2.5rem clamp(1rem, 4vw, 3.5rem) 4rem; max-width: 92rem; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif; overflow-wrap: anywhere; }
h1 { font-size: clamp(1.4rem, 2.6vw, 2rem); line-height: 1.2; margin: 0.2rem 0 0.5rem; max-width: 52rem; text-wrap: balance; font-weight: 650; }
h2 { font-size: 1.3rem; margin: 0 0 0.4rem; font-weight: 650; }
h3 { font-size: 1.05rem; margin: 0 0 0.6rem; font-weight: 650; }
h4 { font-size: 0.95rem; margin: 1.4rem 0 0.4rem; font-weight: 650; }
p { margin: 0 0 0.6rem; }
code { font: 0.9em ui-monospace, "DejaVu Sans Mono", monospace; }
small { font-size: 0.8rem; color: var(--soft); font-weight: 400; }
.kicker { color: var(--lapis); font-weight: 650; letter-spacing: 0.02em; margin: 0; }
.when, .lead, .origin, footer { color: var(--soft); }
.lead { max-width: 62rem; font-size: 0.9rem; }
.skip { position: absolute; left: -99rem; }
.skip:focus { left: 1rem; top: 0.5rem; background: var(--paper); padding: 0.3rem 0.6rem; }
:focus-visible { outline: 2px solid var(--lapis); outline-offset: 2px; }
section { margin-top: 3rem; }
nav { display: flex; flex-wrap: wrap; gap: 0.4rem 1.4rem; margin-top: 1.4rem; padding: 0.6rem 0; border-block: 1px solid var(--line); }
a { color: var(--lapis); text-underline-offset: 0.2em; }
footer { margin-top: 3rem; padding-top: 0.8rem; border-top: 1px solid var(--line); font-size: 0.85rem; }
svg { display: block; width: 100%; overflow: hidden; }
svg.key { display: inline-block; width: auto; vertical-align: -2px; flex: none; }
svg.defs { position: absolute; }

.summary { margin: 1.4rem 0 1.2rem; max-width: 46rem; }
.tallies { display: flex; flex-wrap: wrap; gap: 0.6rem 2.6rem; margin: 0 0 0.7rem; }
.tally { display: flex; flex-direction: column-reverse; }
.tally dd { margin: 0; font-size: 2.1rem; line-height: 1.1; font-weight: 650; font-variant-numeric: tabular-nums; }
.tally dt { color: var(--soft); font-size: 0.9rem; }
.tally.better dd { color: var(--good); } .tally.worse dd { color: var(--bad); }
.share { stroke: var(--paper); stroke-width: 2; }
.share.better { fill: var(--good); } .share.even { fill: var(--line); } .share.worse { fill: var(--bad); }
aside { background: var(--card); border-left: 4px solid var(--amber); padding: 0.9rem 1.2rem; max-width: 62rem; }
aside h2 { font-size: 1rem; }
aside ul { margin: 0; padding-left: 1.1rem; }
aside li { margin: 0.2rem 0; }

.scroll { overflow-x: auto; max-width: 100%; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: 0.4rem 0.9rem 0.4rem 0; overflow-wrap: break-word; }
thead th { font-size: 0.85rem; font-weight: 600; color: var(--soft); vertical-align: bottom; }
th small, td small { display: block; }
.none { color: var(--soft); }
.failed { color: var(--bad); font-weight: 600; }
table.ratios { min-width: 100%; }
table.ratios tr { border-bottom: 1px solid var(--faint); }
table.ratios thead tr { border-bottom: 2px solid var(--line); }
table.ratios th, table.ratios td { min-width: 8.2rem; max-width: 17rem; }
table.ratios tbody th { font-weight: 500; }
table.ratios th.group { padding-top: 1.2rem; font-weight: 650; max-width: none; }
.ratios b { font-weight: 650; }
.range { display: block; }
.verdict { display: inline-block; font-size: 0.78rem; line-height: 1.25; padding: 0 0.4em; border: 1px solid currentColor; border-radius: 3px; white-space: nowrap; }
.verdict.better { color: var(--good); } .verdict.worse { color: var(--bad); border-width: 2px; font-weight: 650; } .verdict.even { color: var(--soft); border-style: dashed; }

.subject { margin-top: 1.8rem; }
.panels { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 36rem), 1fr)); gap: 1rem 2.4rem; }
.panel { border-top: 1px solid var(--line); padding-top: 0.5rem; }
table.rounds { width: 100%; min-width: 33rem; table-layout: fixed; font-size: 0.88rem; }
.rounds caption { text-align: left; font-weight: 600; padding-bottom: 0.2rem; }
.rounds th:first-child { width: 31%; }
.rounds thead th:nth-child(n+3) { width: 4.8rem; text-align: right; }
.rounds th, .rounds td { padding: 0.12rem 0.6rem 0.12rem 0; vertical-align: middle; line-height: 1.3; }
.rounds tbody th { font-weight: 500; }
.rounds th small { display: inline; margin-left: 0.35em; }
.rounds .figure { text-align: right; padding-right: 0; white-space: nowrap; }
.base { stroke: var(--line); } .rule { stroke: var(--soft); stroke-dasharray: 3 3; }
.box { fill: var(--lapis-soft); stroke: var(--lapis); stroke-width: 1; }
.dot { fill: var(--lapis); fill-opacity: 0.75; stroke: var(--paper); stroke-width: 0.8; }
.dot.baseline { fill: var(--paper); fill-opacity: 1; stroke: var(--ink); stroke-width: 1.4; }
.p50 { stroke: var(--ink); stroke-width: 3; } .p99 { stroke: var(--ink); stroke-width: 1.2; }

.start { margin-top: 2rem; padding-top: 1.2rem; border-top: 1px solid var(--line); }
.origin code + code { margin-left: 0.8rem; }
.chips { display: flex; flex-wrap: wrap; gap: 0.5rem 2rem; margin: 0 0 1rem; }
.chips dt { font-size: 0.8rem; color: var(--soft); }
.chips dd { margin: 0; font-weight: 600; font-variant-numeric: tabular-nums; }
.legend { display: flex; flex-wrap: wrap; gap: 0.3rem 1.4rem; list-style: none; margin: 0 0 0.6rem; padding: 0; font-size: 0.84rem; color: var(--soft); }
.legend li { display: flex; align-items: center; gap: 0.45rem; }
.waterfall { display: grid; grid-template-columns: clamp(6.5rem, 18vw, 15rem) minmax(0, 1fr); gap: 0.8rem; }
.rows { list-style: none; margin: 22px 0 0; padding: 0; font-size: 0.78rem; color: var(--soft); font-variant-numeric: tabular-nums; }
.rows li { height: 18px; line-height: 18px; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; text-align: right; }
.grid { stroke: var(--faint); } .tick { fill: var(--soft); font-size: 11px; }
.local { stroke: var(--teal); stroke-width: 1.2; }
.bar.wait { fill: url(#p-cross); stroke: var(--amber); } .bar.first { fill: var(--soft); }
.bar.demand { fill: var(--lapis); } .bar.prefetch { fill: url(#p-prefetch); stroke: var(--lapis); }
.bar.background { fill: url(#p-dots); stroke: var(--violet); } .bar.store { fill: var(--teal); }
.lost .bar { fill: none; stroke: var(--bad); } .cross { fill: var(--bad); font-weight: 700; font-size: 13px; } .cross-key { color: var(--bad); font-weight: 700; }
.readout { display: block; min-height: 1.5em; font-size: 0.85rem; color: var(--soft); }
.mark.on rect { stroke: var(--ink); stroke-width: 2; }
details { margin: 0.3rem 0 0.8rem; }
summary { cursor: pointer; color: var(--lapis); font-size: 0.9rem; width: fit-content; }
table.plain { font-size: 0.82rem; } table.plain th, table.plain td { padding: 0.15rem 1.1rem 0.15rem 0; white-space: nowrap; }
figure { margin: 0 0 0.8rem; }
.layer figcaption small { display: block; }
.layer svg.chart { width: auto; max-width: 100%; margin-top: 0.3rem; }
.unit { stroke: var(--soft); stroke-width: 0.75; }
.unit.waited { fill: url(#p-cross); stroke: var(--amber); } .unit.here { fill: var(--teal); stroke: var(--teal); }
.unit.vain { fill: url(#p-slash); } .unit.filled { fill: url(#p-dots); } .unit.along { fill: url(#p-lines); } .unit.untouched { fill: var(--card); stroke: var(--line); }
.pb.vain { fill: var(--paper); } .pl.vain { fill: var(--bad); } .pb.prefetch { fill: var(--lapis-soft); } .pl.prefetch { fill: var(--lapis); }
.pb.filled { fill: var(--violet-soft); } .pl.filled { fill: var(--violet); } .pb.along { fill: var(--paper); } .pl.along { fill: var(--lapis); }
.pb.waited { fill: var(--amber-soft); } .pl.waited { fill: var(--amber); }

.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); gap: 0 3rem; }
.facts dl { margin: 0; }
.facts dl div { display: grid; grid-template-columns: 11rem minmax(0, 1fr); gap: 1rem; padding: 0.3rem 0; border-bottom: 1px solid var(--faint); }
.facts dt { color: var(--soft); } .facts dd { margin: 0; }
@media (max-width: 40rem) { .facts dl div { grid-template-columns: 8rem minmax(0, 1fr); } }

@page { size: A4 portrait; margin: 12mm; }
@page wide { size: A4 landscape; margin: 12mm; }
@media print {
  html { font-size: 11px; }
  body { padding: 0; max-width: none; font-size: 8.5pt; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  body.wide header, body.wide #ratios { page: wide; }
  nav, .skip, .readout, details, footer, .screen { display: none; }
  #starts { break-before: page; }
  section { margin-top: 1.4rem; }
  h2, h3, h4, caption, .lead, .legend, .chips { break-after: avoid; }
  tr, figure, .panel, aside, .facts dl div, .waterfall, .legend { break-inside: avoid; }
  .start { border: 0; margin-top: 1.5rem; } .start + .start { break-before: page; }
  .waterfall, .layer svg { zoom: 0.72; }
  .waterfall { grid-template-columns: 13rem minmax(0, 1fr); } .rows { font-size: 12px; }
  .scroll { overflow: visible; }
  .panels { grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); gap: 0.8rem 1.6rem; }
  table.rounds { min-width: 0; font-size: 7pt; } .rounds thead th:nth-child(n+3) { width: 4.4rem; } .rounds th, .rounds td { padding-right: 0.3rem; }
  table.ratios { width: 100%; table-layout: fixed; font-size: 7.5pt; } table.ratios th, table.ratios td { min-width: 0; padding: 0.2rem 0.5rem 0.2rem 0; overflow-wrap: anywhere; }
  small, thead th { font-size: 6.8pt; } .verdict { font-size: 6.5pt; }
}
`;
