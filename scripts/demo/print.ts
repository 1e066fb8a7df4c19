import type { Timeline } from "./time-start.js";

const MIB = 1024 * 1024;
const started = Date.now();

/** One line of progress on stderr. */
export function progress(what: string): void {
  console.error(`[${((Date.now() - started) / 1000).toFixed(1).padStart(6)} s] ${what}`);
}

const BAR_WIDTH = 40;

/** The two starts side by side: a table and a bar for each. */
export function timelineTable(options: {
  readonly full: Timeline;
  readonly lazy: Timeline;
  readonly rttMs: number;
  readonly bitsPerSecond: number;
}): string {
  const { full, lazy } = options;
  const longest = Math.max(full.endedMs, lazy.endedMs);
  const row = (name: string, of: (timeline: Timeline) => number, unit: string): string => {
    const [left, right] = [of(full), of(lazy)];
    return `${name.padEnd(24)}${show(left, unit)}${show(right, unit)}${`${(right / left).toFixed(2)} x`.padStart(10)}`;
  };
  const bar = (name: string, timeline: Timeline): string => {
    const pull = Math.round((timeline.pulledMs / longest) * BAR_WIDTH);
    const run = Math.max(1, Math.round((timeline.firstOutputMs / longest) * BAR_WIDTH) - pull);
    return `${name.padEnd(11)} ${"=".repeat(pull)}${"#".repeat(run)}`;
  };
  return [
    "",
    `python3 /app/hello.py, cold, over ${options.rttMs} ms RTT and ${options.bitsPerSecond / 1e6} Mbit/s`,
    "",
    `${"".padEnd(24)}${"full pull".padStart(12)}${"lazuli".padStart(12)}${"ratio".padStart(10)}`,
    row("pull command returns", (timeline) => timeline.pulledMs / 1000, "s"),
    row("first output", (timeline) => timeline.firstOutputMs / 1000, "s"),
    row("container has ended", (timeline) => timeline.endedMs / 1000, "s"),
    row("bytes at first output", (timeline) => timeline.bytesAtOutput / MIB, "MiB"),
    "",
    `${bar("full pull", full)}`,
    `${bar("lazuli", lazy)}`,
    `${"".padEnd(11)} = pull   # create and run until the first output`,
  ].join("\n");
}

function show(value: number, unit: string): string {
  return `${value.toFixed(2)} ${unit}`.padStart(12);
}
