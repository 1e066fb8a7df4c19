const unitsMs: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/** Milliseconds of a duration as Go writes it, e.g. `1m30s`; undefined for anything else. */
export function durationMs(text: string): number | undefined {
  if (text.length > 64 || !/^(\d+(\.\d+)?(ns|us|µs|ms|s|m|h))+$/.test(text)) return undefined;
  let sum = 0;
  for (const [, number, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)/g)) {
    sum += Number(number) * unitsMs[unit!]!;
  }
  return sum;
}

/** The same of the kubelet's API, where no time at all may stand as `0`. */
export function goDurationMs(text: string): number | undefined {
  return text === "0" ? 0 : durationMs(text);
}
