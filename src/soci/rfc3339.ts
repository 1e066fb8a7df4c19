import { type FileTime, parseFileTime } from "../tree/index.js";
import { refuseZtoc, shown } from "./refusal.js";

const EPOCH: FileTime = { seconds: 0n, nanoseconds: 0 };

/** RFC 3339. Go writes nothing for a year that has no four digits; containerd unpacks such times as the epoch. */
export function parseTime(text: string, entry: number): FileTime {
  const time = text === "" ? EPOCH : parseFileTime(text);
  if (time === undefined) throw refuseZtoc("ztoc-time", `want RFC 3339, got ${shown(text)}`, entry);
  return time;
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
