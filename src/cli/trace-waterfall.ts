import type { StartTrace, Touch, TracedRequest } from "../traces/index.js";
import { humanBytes } from "./table.js";

/** Rows of requests that a layer gets; those for which none has room are counted below. */
const LANES_MAX = 12;
const LEVELS = " ▁▂▃▄▅▆▇█";
/** Beside the bars. */
const LABEL_COLUMNS = 11;
/** Time axis of a start that read nothing for long ends a little behind the last thing that happened. */
const TAIL = 1.05;

const marks = { demand: "D", prefetch: "P", background: "B" } as const;

export const waterfallKey =
  "reads: how many units were first read, waits: how many reads waited (▁ few, █ most)\nrequests: D demand, P prefetch, B background; ░ no byte yet, █ bytes come, ▒ decoded and written, x failed\n";

/** Requests and waits of each layer on one axis of time, `columns` wide. */
export function waterfall(trace: StartTrace, columns: number): string {
  const width = Math.max(20, columns - LABEL_COLUMNS - 1);
  const spanMs = spanOf(trace);
  const scale = (ms: number): number => Math.min(width - 1, Math.floor((ms / spanMs) * width));
  const lines = [axis(spanMs, width)];
  for (const [index, layer] of trace.layers.entries()) {
    const touches = trace.touches.filter((touch) => touch.layer === index);
    const requests = trace.requests.filter((request) => request.layer === index);
    if (touches.length === 0 && requests.length === 0) continue;
    const local = touches.filter(({ waitedMs }) => waitedMs === 0).length;
    const bytes = touches.reduce((sum, { length }) => sum + length, 0);
    lines.push(
      `layer ${index}  ${layer.digest.slice(0, 19)}  ${layer.format}  ${humanBytes(layer.dataBytes)}`,
    );
    const read = `${touches.length} of ${layer.units} units read (${humanBytes(bytes)}), ${local} local`;
    lines.push(row("", `${read}, ${requests.length} requests`));
    lines.push(row("reads", density(touches, { scale, width, isWaits: false })));
    lines.push(row("waits", density(touches, { scale, width, isWaits: true })));
    lines.push(...lanes(requests, { scale, width, durationMs: trace.durationMs }));
  }
  return lines.map((line) => `${line.trimEnd()}\n`).join("");
}

interface Axis {
  readonly scale: (ms: number) => number;
  readonly width: number;
}

function spanOf({ touches, requests, durationMs }: StartTrace): number {
  let last = 1;
  for (const { atMs, waitedMs } of touches) last = Math.max(last, atMs + waitedMs);
  for (const { atMs, storedMs, endMs } of requests) last = Math.max(last, storedMs ?? endMs ?? atMs);
  return Math.max(1, Math.min(durationMs, last * TAIL));
}

function axis(spanMs: number, width: number): string {
  const ticks = Math.max(1, Math.floor(width / 16));
  const cells = Array<string>(width + 1).fill("─");
  const labels = Array<string>(width + 1).fill(" ");
  for (let tick = 0; tick < ticks; tick += 1) {
    const at = Math.floor((tick * width) / ticks);
    cells[at] = "┬";
    const text = `${Math.round((spanMs * tick) / ticks)} ms`;
    for (const [index, letter] of [...text].entries())
      if (at + index < labels.length) labels[at + index] = letter;
  }
  return `${row("", labels.join(""))}\n${row("", cells.join(""))}`;
}

function row(label: string, cells: string): string {
  return `${label.padEnd(LABEL_COLUMNS)}${cells}`;
}

function density(
  touches: readonly Touch[],
  { scale, width, isWaits }: Axis & { readonly isWaits: boolean },
): string {
  const counts = Array<number>(width).fill(0);
  for (const { atMs, waitedMs } of touches) {
    if (isWaits && waitedMs === 0) continue;
    const last = scale(isWaits ? atMs + waitedMs : atMs);
    for (let at = scale(atMs); at <= last; at += 1) counts[at] = counts[at]! + 1;
  }
  const most = Math.max(1, ...counts);
  return counts.map((count) => LEVELS[Math.ceil((count / most) * (LEVELS.length - 1))]).join("");
}

/** Each request in the first row that is free at its time. */
function lanes(
  requests: readonly TracedRequest[],
  { scale, width, durationMs }: Axis & { readonly durationMs: number },
): string[] {
  const rows: string[][] = [];
  const ends: number[] = [];
  let hidden = 0;
  for (const request of requests) {
    const { atMs, firstByteMs, endMs = durationMs, storedMs = endMs } = request;
    const from = scale(atMs);
    const to = Math.max(from, scale(storedMs));
    let lane = ends.findIndex((end) => end < from);
    if (lane < 0) lane = rows.length;
    if (lane >= LANES_MAX) {
      hidden += 1;
      continue;
    }
    rows[lane] ??= Array<string>(width).fill(" ");
    ends[lane] = to + 1;
    const answered = scale(firstByteMs ?? endMs);
    for (let at = from; at <= to; at += 1) {
      rows[lane]![at] = at < answered ? "░" : at <= scale(endMs) ? "█" : "▒";
    }
    rows[lane]![from] = marks[request.priority];
    if (request.hasFailed) rows[lane]![to] = "x";
  }
  const shown = rows.map((cells, lane) => row(lane === 0 ? "requests" : "", cells.join("")));
  return hidden === 0 ? shown : [...shown, row("", `and ${hidden} more requests at the same time`)];
}
