const nanoseconds: Readonly<Record<string, number>> = {
  h: 3.6e12,
  m: 6e10,
  s: 1e9,
  ms: 1e6,
  us: 1e3,
  µs: 1e3,
  μs: 1e3,
  ns: 1,
};
/** The longest time that a key of ours takes. */
const DAY_MS = 86_400_000;

/** What becomes of a value; `undefined` where ours has no word for it. */
export type Convert = (value: unknown) => unknown;

/** A duration of Go as milliseconds; undefined for what is none. */
function goDurationMs(value: unknown): number | undefined {
  if (typeof value !== "string" || value.length > 64) return undefined;
  if (value === "0") return 0;
  const parts = [...value.matchAll(/(\d+(?:\.\d+)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)/g)];
  if (parts.length === 0 || parts.map(([text]) => text).join("") !== value.replace(/^\+/, ""))
    return undefined;
  return parts.reduce((sum, [, count, unit]) => sum + Number(count) * nanoseconds[unit!]!, 0) / 1e6;
}

/** A time that may be none. */
export const delayText: Convert = (value) => {
  const milliseconds = goDurationMs(value);
  return milliseconds === undefined ? undefined : durationText(milliseconds);
};

/** A limit: none becomes the longest that there is. */
export const limitText: Convert = (value) => {
  const milliseconds = goDurationMs(value);
  return milliseconds === undefined ? undefined : durationText(milliseconds === 0 ? DAY_MS : milliseconds);
};

function durationText(milliseconds: number): string {
  if (milliseconds === 0) return "0s";
  const whole = Math.min(DAY_MS, Math.max(1, Math.round(milliseconds)));
  return whole % 1000 === 0 ? `${whole / 1000}s` : `${whole}ms`;
}

export const same: Convert = (value) => value;

/** An empty text means that a key is not set. */
export const textOrNothing: Convert = (value) => (value === "" ? NOTHING : value);

/** Zero means that a key is not set. */
export const countOrNothing: Convert = (value) => (value === 0 ? NOTHING : value);

/** A whole number within what ours takes. */
export function countWithin(min: number, max: number): Convert {
  return (value) =>
    typeof value === "number" && Number.isInteger(value) ? Math.min(max, Math.max(min, value)) : undefined;
}

/** A count where nothing or less means as many as there are. */
export function countOrMax(max: number): Convert {
  const within = countWithin(1, max);
  return (value) => (typeof value === "number" && value <= 0 ? max : within(value));
}

export const bytesText: Convert = (value) =>
  typeof value === "number" && Number.isInteger(value) && value > 0 ? `${value}B` : undefined;

export const portNumber: Convert = (value) =>
  typeof value === "string" && /^\d{1,5}$/.test(value) ? Number(value) : undefined;

/** containerd's search path, a text with colons. */
export const pathList: Convert = (value) =>
  value === ""
    ? NOTHING
    : typeof value === "string"
      ? value.split(":").filter((path) => path !== "")
      : undefined;

/** The scheduler's own rules: half of the time at most, its default for nothing. */
export const pauseThreshold: Convert = (value) =>
  typeof value !== "number" ? undefined : value <= 0 ? 0.02 : Math.min(0.5, value);

export const logLevel: Convert = (value) => {
  const levels: Readonly<Record<string, string>> = {
    trace: "debug",
    debug: "debug",
    info: "info",
    warn: "warn",
    warning: "warn",
    error: "error",
    fatal: "error",
    panic: "error",
  };
  if (value === "") return NOTHING;
  return typeof value === "string" ? levels[value] : undefined;
};

/** Stands for a value that says nothing: nothing is taken, and nothing was lost. */
export const NOTHING = Symbol("nothing");
