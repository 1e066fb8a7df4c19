import type { StartTrace } from "../../traces/index.js";
import type { BenchReport } from "../contract.js";
import { bytesText, plainText, timeText } from "./figures.js";
import { heatMaps } from "./heat-map.js";
import { html, type Markup } from "./markup.js";
import { waterfall } from "./waterfall.js";

/** More starts make the page too large to open; their figures are in the tables all the same. */
const TRACES_SHOWN_MAX = 48;

interface TracedStart {
  readonly subject: string;
  readonly contestant: string;
  readonly trace: StartTrace;
}

/** The starts that have a trace, each once: what happened when, and what became of each layer's units. */
export function startsSection(report: BenchReport): Markup | undefined {
  const starts = tracedStarts(report);
  if (starts.length === 0) return undefined;
  const shown = starts.slice(0, TRACES_SHOWN_MAX);
  const rest = starts.length - shown.length;
  const more = rest === 0 ? undefined : html`<p class="lead">${rest} more starts are not drawn.</p>`;
  return html`<section id="starts" aria-labelledby="starts-title"><h2 id="starts-title">Starts, request by request</h2>
<p class="lead">The start whose figure is the median. Time runs from Prepare of the container’s writable layer. <span class="screen">Point at a mark, or focus a chart and use the arrow keys, to read its figures.</span></p>${shown.map((start, index) => startOf(start, index))}${more}</section>`;
}

/** One trace may stand for several figures of the same start. */
function tracedStarts(report: BenchReport): readonly TracedStart[] {
  const found = new Map<string, TracedStart>();
  for (const { subject, contestants } of report.series) {
    for (const { name: contestant, trace } of contestants) {
      if (trace === undefined) continue;
      const key = JSON.stringify([subject, contestant, trace.id]);
      if (!found.has(key)) found.set(key, { subject, contestant, trace });
    }
  }
  return [...found.values()];
}

function startOf({ subject, contestant, trace }: TracedStart, index: number): Markup {
  const command = trace.command === undefined ? undefined : html` <code>${trace.command.join(" ")}</code>`;
  const origin = trace.reference === "" ? undefined : html`<code>${trace.reference}</code>`;
  const facts = factsOf(trace).map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`);
  return html`<article class="start"><h3>${plainText(subject)}, ${plainText(contestant)}</h3><p class="origin">${origin}${command}</p><dl class="chips">${facts}</dl>${waterfall(trace, `start-${index}-waterfall`)}${heatMaps(trace, `start-${index}`)}</article>`;
}

function factsOf(trace: StartTrace): readonly (readonly [string, string])[] {
  const { touches, requests } = trace;
  const waited = touches.filter(({ waitedMs }) => waitedMs > 0);
  const longest = waited.reduce((most, { waitedMs }) => Math.max(most, waitedMs), 0);
  const total = waited.reduce((sum, { waitedMs }) => sum + waitedMs, 0);
  const bytes = requests.reduce(
    (sum, one) => sum + (one.hasFailed || one.endMs === undefined ? 0 : one.length),
    0,
  );
  const local =
    touches.length === 0 ? "–" : `${Math.round(((touches.length - waited.length) / touches.length) * 100)} %`;
  const byPriority = (["demand", "prefetch", "background"] as const)
    .map((priority) => [priority, requests.filter((one) => one.priority === priority).length] as const)
    .filter(([, count]) => count > 0)
    .map(([priority, count]) => `${count} ${priority}`);
  const ends = {
    time: "the time was over",
    ready: "it was ready",
    removed: "its snapshot was removed",
    stopped: "lazuli stopped",
    full: "the recording was full",
  };
  return [
    ["Recorded", `${timeText(trace.durationMs)}, until ${ends[trace.ended]}`],
    ["Requests", byPriority.length === 0 ? "none" : byPriority.join(", ")],
    ["Bytes fetched", bytesText(bytes)],
    ["First reads of units", `${touches.length}`],
    ["Local when they came", local],
    [
      "Waited",
      waited.length === 0
        ? "none"
        : `${waited.length} reads, longest ${timeText(longest)}, sum ${timeText(total)}`,
    ],
  ];
}
