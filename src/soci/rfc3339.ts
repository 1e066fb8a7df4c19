import type { FileTime } from "../tree/index.js";
import { refuseZtoc, shown } from "./refusal.js";

const TEXT_BYTES_MAX = 40;
const shape = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:Z|([+-])(\d\d):(\d\d))$/;
const EPOCH: FileTime = { seconds: 0n, nanoseconds: 0 };

/** RFC 3339. Go writes nothing for a year that has no four digits; containerd unpacks such times as the epoch. */
export function parseTime(text: string, entry: number): FileTime {
  if (text === "") return EPOCH;
  const found = text.length > TEXT_BYTES_MAX ? null : shape.exec(text);
  const problem = (): Error => refuseZtoc("ztoc-time", `want RFC 3339, got ${shown(text)}`, entry);
  if (found === null) throw problem();
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
  if (date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day) throw problem();
  if (date.getUTCMinutes() !== minute || date.getUTCSeconds() !== second) throw problem();
  const [zoneHours, zoneMinutes] = [Number(found[9] ?? 0), Number(found[10] ?? 0)];
  if (zoneHours > 23 || zoneMinutes > 59) throw problem();
  const zoneSeconds = (zoneHours * 60 + zoneMinutes) * 60 * (found[8] === "-" ? -1 : 1);
  return {
    seconds: BigInt(date.getTime() / 1000 - zoneSeconds),
    nanoseconds: Number((found[7] ?? "").padEnd(9, "0")),
  };
}

/** The seconds of the years 0 and 9999, between which Go writes a time. */
const SECONDS_MIN = -62_167_219_200n;
const SECONDS_MAX = 253_402_300_799n;

/** As Go's MarshalText writes it in UTC: no fraction where it is zero, and none of its trailing zeros. */
export function formatTime({ seconds, nanoseconds }: FileTime): string {
  if (seconds < SECONDS_MIN || seconds > SECONDS_MAX) return "";
  const whole = new Date(Number(seconds) * 1000).toISOString().slice(0, 19);
  const fraction = nanoseconds === 0 ? "" : `.${String(nanoseconds).padStart(9, "0").replace(/0+$/, "")}`;
  return `${whole}${fraction}Z`;
}
