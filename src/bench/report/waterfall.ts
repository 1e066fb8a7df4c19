import type { StartTrace, TracedRequest } from "../../traces/index.js";
import { niceTicks, packLanes } from "./axis.js";
import { bytesText, timeText } from "./figures.js";
import { groupBy } from "./group-by.js";
import { html, type Markup, percent } from "./markup.js";

const ROW_HEIGHT = 18;
const AXIS_HEIGHT = 22;
/** Up to here each request has a row of its own; more are packed into lanes, layer by layer. */
const OWN_ROWS_MAX = 40;
const LANES_MAX = 12;
/** More marks make no picture; the table and the note say what is left out. */
const MARKS_MAX = 1500;
const TICKS_MAX = 8;
/** Reads whose bytes were here are drawn as ticks, at most one for each of so many places. */
const PLACES = 400;

interface Row {
  readonly label: string;
  readonly marks: readonly Markup[];
}

/** The requests of a start and the reads that waited, on one axis of time. */
export function waterfall(trace: StartTrace, id: string): Markup {
  const requests = trace.requests.slice(0, MARKS_MAX);
  const waits = trace.touches.filter(({ waitedMs }) => waitedMs > 0).slice(0, MARKS_MAX);
  const endMs = lastMs(trace);
  const rows = [...readRows(trace, waits, endMs), ...requestRows(requests, endMs)];
  const height = AXIS_HEIGHT + rows.length * ROW_HEIGHT;
  const labels = rows.map((row) => html`<li>${row.label}</li>`);
  const drawn = rows.map(
    (row, index) =>
      html`<svg y="${AXIS_HEIGHT + index * ROW_HEIGHT}" width="100%" height="${ROW_HEIGHT}">${row.marks}</svg>`,
  );
  const label = `Waterfall of ${trace.requests.length} requests over ${timeText(endMs)}; ${waits.length} reads waited`;
  const left = trace.requests.length - requests.length;
  const more = left === 0 ? undefined : html`<p class="lead">${left} later requests are not drawn.</p>`;
  return html`${waterfallLegend()}<div class="waterfall"><ul class="rows" aria-hidden="true">${labels}</ul><svg class="chart" data-readout="${id}" role="img" tabindex="0" aria-label="${label}" height="${height}">${axisOf(endMs, height)}${drawn}</svg></div><output id="${id}" class="readout" aria-live="polite"></output>${more}${requestTable(requests)}`;
}

function lastMs(trace: StartTrace): number {
  let last = trace.durationMs;
  for (const one of trace.requests) last = Math.max(last, one.atMs, one.endMs ?? 0, one.storedMs ?? 0);
  for (const touch of trace.touches) last = Math.max(last, touch.atMs + touch.waitedMs);
  return Math.max(last, 1);
}

function axisOf(endMs: number, height: number): readonly Markup[] {
  return niceTicks(endMs, TICKS_MAX).map((at, index) => {
    const x = percent(at, endMs);
    const anchor = index === 0 ? "start" : at > endMs * 0.94 ? "end" : "middle";
    return html`<line class="grid" x1="${x}" x2="${x}" y1="${AXIS_HEIGHT - 4}" y2="${height}"/><text class="tick" x="${x}" y="12" text-anchor="${anchor}">${timeText(at)}</text>`;
  });
}

function readRows(trace: StartTrace, waits: StartTrace["touches"], endMs: number): Row[] {
  const places = new Set<number>();
  for (const { atMs, waitedMs } of trace.touches)
    if (waitedMs === 0) places.add(Math.round((atMs / endMs) * PLACES));
  const ticks = [...places].map(
    (place) =>
      html`<line class="local" x1="${percent(place, PLACES)}" x2="${percent(place, PLACES)}" y1="4" y2="14"/>`,
  );
  const spans = waits.map((touch) => ({ from: touch.atMs, to: touch.atMs + touch.waitedMs, touch }));
  const lanes = packLanes(spans, LANES_MAX).map((lane, index) => ({
    label: index === 0 ? "reads that waited" : "",
    marks: lane.map(({ from, to, touch }) => {
      const title = `Read of ${bytesText(touch.length)} in layer ${touch.layer + 1}, unit ${touch.unit}, at ${timeText(from)}: waited ${timeText(touch.waitedMs)}`;
      return html`<g class="mark"><title>${title}</title>${bar("wait", { from, to, endMs, y: 3, height: 12 })}</g>`;
    }),
  }));
  return [...lanes, { label: "reads, bytes here", marks: ticks }];
}

function requestRows(requests: readonly TracedRequest[], endMs: number): Row[] {
  const spans = requests.map((request) => ({
    from: request.atMs,
    to: Math.max(request.atMs, request.storedMs ?? request.endMs ?? endMs),
    request,
  }));
  if (spans.length <= OWN_ROWS_MAX) {
    return spans.map(({ request }) => ({
      label: `layer ${request.layer + 1} · ${request.priority} · ${bytesText(request.length)}`,
      marks: [requestMark(request, endMs)],
    }));
  }
  const layers = [...groupBy(spans, ({ request }) => request.layer)].sort(([left], [right]) => left - right);
  return layers.flatMap(([layer, all]) =>
    packLanes(all, LANES_MAX).map((lane, index) => ({
      label: index === 0 ? `layer ${layer + 1}` : "",
      marks: lane.map(({ request }) => requestMark(request, endMs)),
    })),
  );
}

/** Three parts: until the first byte, while bytes come, until all is decoded and stored. */
function requestMark(request: TracedRequest, endMs: number): Markup {
  const { atMs, firstByteMs, endMs: doneMs, storedMs, priority, hasFailed } = request;
  const received = doneMs ?? endMs;
  const first = firstByteMs ?? received;
  const title = `${priority} request in layer ${request.layer + 1}: ${requestWords(request)}`;
  const cross = hasFailed
    ? html`<text class="cross" x="${percent(received, endMs)}" y="14" text-anchor="middle">✕</text>`
    : undefined;
  const store =
    storedMs === undefined || storedMs <= received
      ? undefined
      : bar("store", { from: received, to: storedMs, endMs, y: 6, height: 6 });
  return html`<g class="mark${hasFailed ? " lost" : ""}"><title>${title}</title>${bar("first", { from: atMs, to: first, endMs, y: 8, height: 2 })}${bar(priority, { from: first, to: received, endMs, y: 3, height: 12 })}${store}${cross}</g>`;
}

function requestWords(request: TracedRequest): string {
  const { offset, length, atMs, firstByteMs, endMs, storedMs, hasFailed } = request;
  const words = [
    `${bytesText(length)} from ${bytesText(offset)}, units ${request.firstUnit} to ${request.lastUnit}, begun at ${timeText(atMs)}`,
    firstByteMs === undefined ? "no byte came" : `first byte after ${timeText(firstByteMs - atMs)}`,
    endMs === undefined
      ? "still running at the end"
      : `${hasFailed ? "failed" : "received"} after ${timeText(endMs - atMs)}`,
    storedMs === undefined ? "" : `stored after ${timeText(storedMs - atMs)}`,
  ];
  return words.filter((text) => text !== "").join(", ");
}

function bar(
  kind: string,
  { from, to, endMs, y, height }: { from: number; to: number; endMs: number; y: number; height: number },
): Markup {
  return html`<rect class="bar ${kind}" x="${percent(from, endMs)}" width="${percent(Math.max(to - from, endMs / 800), endMs)}" y="${y}" height="${height}"/>`;
}

function waterfallLegend(): Markup {
  const keys: readonly (readonly [string, string, number, number])[] = [
    ["wait", "a read waits", 2, 10],
    ["first", "until the first byte", 6, 2],
    ["demand", "bytes come, on demand", 2, 10],
    ["prefetch", "… prefetched", 2, 10],
    ["background", "… in the background", 2, 10],
    ["store", "decoded and stored", 4, 6],
  ];
  return html`<ul class="legend">${keys.map(
    ([kind, meaning, y, height]) =>
      html`<li><svg class="key" width="24" height="14" aria-hidden="true"><rect class="bar ${kind}" x="0.5" y="${y}" width="23" height="${height}"/></svg> ${meaning}</li>`,
  )}<li><span class="cross-key" aria-hidden="true">✕</span> failed</li></ul>`;
}

function requestTable(requests: readonly TracedRequest[]): Markup {
  if (requests.length === 0) return html``;
  const optional = (value: number | undefined): string => (value === undefined ? "–" : timeText(value));
  const rows = requests.map(
    (one) =>
      html`<tr><td>${one.layer + 1}</td><td>${one.priority}${one.hasFailed ? ", failed" : ""}</td><td>${bytesText(one.offset)}</td><td>${bytesText(one.length)}</td><td>${one.firstUnit} to ${one.lastUnit}</td><td>${timeText(one.atMs)}</td><td>${optional(one.firstByteMs)}</td><td>${optional(one.endMs)}</td><td>${optional(one.storedMs)}</td></tr>`,
  );
  const heads = ["Layer", "Why", "From", "Bytes", "Units", "Begun", "First byte", "Received", "Stored"];
  return html`<details><summary>The requests as a table</summary><div class="scroll" role="region" aria-label="Table of requests" tabindex="0"><table class="plain"><thead><tr>${heads.map((head) => html`<th scope="col">${head}</th>`)}</tr></thead><tbody>${rows}</tbody></table></div></details>`;
}
