import { constants } from "node:os";
import { invalidArgument } from "../errors/index.js";

/** Linux: the last signal, and the first that glibc leaves to programs. */
const SIGNAL_MAX = 64;
const REALTIME_MIN = 34;

/** Names that Node has not. */
const more: Readonly<Record<string, number>> = { SIGCLD: 17, SIGRTMIN: REALTIME_MIN, SIGRTMAX: SIGNAL_MAX };

/** The number of `SIGTERM`, `term`, `15`, `SIGRTMIN+3`, as images name signals. @throws INVALID_ARGUMENT `signal-invalid` */
export function signalNumber(text: string): number {
  const number = /^\d{1,3}$/.test(text) ? Number(text) : numberOfName(text.toUpperCase());
  if (number !== undefined && number >= 1 && number <= SIGNAL_MAX) return number;
  throw invalidArgument(`failed to parse stop signal ${JSON.stringify(text)}: Invalid signal: ${text}`, {
    subject: text,
    reason: "signal-invalid",
  });
}

function numberOfName(upper: string): number | undefined {
  const name = upper.startsWith("SIG") ? upper : `SIG${upper}`;
  const [, base = name, sign, distance = "0"] = /^(SIGRTMIN|SIGRTMAX)([+-])(\d{1,2})$/.exec(name) ?? [];
  const start = more[base] ?? (Object.hasOwn(constants.signals, base) ? signals[base] : undefined);
  if (start === undefined) return undefined;
  const number = sign === "-" ? start - Number(distance) : start + Number(distance);
  return sign === undefined || number >= REALTIME_MIN ? number : undefined;
}

const signals: Readonly<Record<string, number>> = constants.signals;
