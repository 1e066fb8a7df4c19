import type { FileTime } from "./node.js";

const TEXT_LENGTH_MAX = 40;
const shape = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:Z|([+-])(\d\d):(\d\d))$/;

/** A time in RFC 3339, as Go writes it in JSON; undefined for another text, and for a date that does not exist. */
export function parseFileTime(text: string): FileTime | undefined {
  const found = text.length > TEXT_LENGTH_MAX ? null : shape.exec(text);
  if (found === null) return undefined;
  const [year, month, day, hour, minute, second] = found.slice(1, 7).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const date = new Date(0);
  // Unlike Date.UTC, this takes the years 0 to 99 as they are.
  date.setUTCFullYear(year, month - 1, day);
  date.setUTCHours(hour, minute, second);
  // A date that does not exist (February 30th, 24:00, a leap second) has rolled over.
  if (date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day) return undefined;
  if (date.getUTCMinutes() !== minute || date.getUTCSeconds() !== second) return undefined;
  const [zoneHours, zoneMinutes] = [Number(found[9] ?? 0), Number(found[10] ?? 0)];
  if (zoneHours > 23 || zoneMinutes > 59) return undefined;
  const zoneSeconds = (zoneHours * 60 + zoneMinutes) * 60 * (found[8] === "-" ? -1 : 1);
  return {
    seconds: BigInt(date.getTime() / 1000 - zoneSeconds),
    nanoseconds: Number((found[7] ?? "").padEnd(9, "0")),
  };
}
