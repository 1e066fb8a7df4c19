const RFC3339 = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:[.,](\d+))?(?:Z|([+-])(\d\d):(\d\d))$/;
/** Longest text of a time that is looked at; the fraction of a second has no other bound. */
const TIME_LENGTH_MAX = 64;

/** Nanoseconds since 1970 of a time in RFC 3339 as Go reads it; undefined for another text. */
export function parseRfc3339(text: string): bigint | undefined {
  if (text.length > TIME_LENGTH_MAX) return undefined;
  const match = RFC3339.exec(text);
  if (match === null) return undefined;
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  const isDay = date.getUTCMonth() === month - 1 && date.getUTCDate() === day;
  if (!isDay || hour > 23 || minute > 59 || second > 59) return undefined;
  const [zoneHours, zoneMinutes] = [Number(match[9] ?? 0), Number(match[10] ?? 0)];
  if (zoneHours > 24 || zoneMinutes > 60) return undefined;
  const zone = (zoneHours * 60 + zoneMinutes) * 60 * (match[8] === "-" ? -1 : 1);
  const seconds = date.getTime() / 1000 + hour * 3600 + minute * 60 + second - zone;
  const fraction = (match[7] ?? "").slice(0, 9).padEnd(9, "0");
  return BigInt(seconds) * 1_000_000_000n + BigInt(fraction);
}

const unitNanoseconds: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  µs: 1e3,
  μs: 1e3,
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3600e9,
};
const PART = /(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)/y;
/** 2^63: Go's durations end there. */
const DURATION_MAX = 2 ** 63;

/** Nanoseconds of a duration as Go writes it, such as `1h30m` or `-1.5s`; undefined for another text. */
export function parseGoDuration(text: string): bigint | undefined {
  const isNegative = text.startsWith("-");
  const body = isNegative || text.startsWith("+") ? text.slice(1) : text;
  if (body === "0") return 0n;
  if (body === "" || body.length > TIME_LENGTH_MAX) return undefined;
  let total = 0;
  for (let at = 0; at < body.length; at = PART.lastIndex) {
    PART.lastIndex = at;
    const match = PART.exec(body);
    if (match === null) return undefined;
    total += Number(match[1]) * unitNanoseconds[match[2]!]!;
  }
  if (total >= DURATION_MAX) return undefined;
  const nanoseconds = BigInt(Math.trunc(total));
  return isNegative ? -nanoseconds : nanoseconds;
}
