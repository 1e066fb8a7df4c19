import { invalidArgument } from "../errors/index.js";

const I64_MAX = 2n ** 63n - 1n;
const U64_MAX = 2n ** 64n - 1n;

/** A number of a spec as an i64. Numbers of JSON are doubles: the ends of the range come as their neighbours. */
export function toI64(value: number): bigint {
  return clamped(value, -I64_MAX - 1n, I64_MAX);
}

export function toU64(value: number): bigint {
  return clamped(value, 0n, U64_MAX);
}

function clamped(value: number, min: bigint, max: bigint): bigint {
  if (typeof value !== "number" || Number.isNaN(value)) {
    throw invalidArgument(`Cannot read a spec: want a number, got ${typeof value}`, {
      reason: "nri-spec-invalid",
    });
  }
  if (value >= Number(max)) return max;
  if (value <= Number(min)) return min;
  return BigInt(Math.trunc(value));
}

/** As a number of JSON that is never above the value: 2^64 instead of 2^64 - 1 is no u64 for those who read it. */
export function toNumber(value: bigint): number {
  const number = Number(value);
  if (BigInt(number) <= value) return number;
  return number > 0 ? number * (1 - 2 ** -53) : number * (1 + 2 ** -52);
}
