import { invalidArgument } from "../errors/index.js";

const factors: Readonly<Record<string, number>> = {
  "": 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
};

/** Bits a second between which Kubernetes takes a bandwidth. */
const BANDWIDTH_MIN = 1e3;
const BANDWIDTH_MAX = 1e15;

/** A bandwidth as Kubernetes writes quantities: `10M`, `1Gi`, `1e6`. Bits a second. @throws INVALID_ARGUMENT */
export function parseBandwidth(text: string, annotation: string): number {
  const match = /^([0-9]+(?:\.[0-9]*)?(?:[eE][0-9]{1,2})?)([kMGTPE]i?|Ki)?$/.exec(text);
  const value = match === null ? Number.NaN : Math.ceil(Number(match[1]) * (factors[match[2] ?? ""] ?? 1));
  if (value >= BANDWIDTH_MIN && value <= BANDWIDTH_MAX) return value;
  const problem = Number.isNaN(value)
    ? "not a quantity"
    : value < BANDWIDTH_MIN
      ? "unreasonably small (< 1kbit)"
      : "unreasonably large (> 1Pbit)";
  throw invalidArgument(
    `reading pod bandwidth annotations: ${annotation} ${JSON.stringify(text)} is ${problem}`,
    {
      subject: annotation,
      reason: "bandwidth-invalid",
    },
  );
}
