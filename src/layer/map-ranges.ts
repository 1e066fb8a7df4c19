import type { UnitTable } from "../units/index.js";
import type { UnitRange } from "./layer-record.js";
import type { ReplayRange } from "./replay-contract.js";

/** The units that hold these bytes, in the order of the ranges. What lies beyond the layer, or is no range, is left out. */
export function mapRanges(units: UnitTable, ranges: readonly ReplayRange[]): UnitRange[] {
  const mapped: UnitRange[] = [];
  for (const { offset, length } of ranges) {
    const isRange = Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length > 0;
    if (!isRange || offset >= units.dataSize) continue;
    const first = firstEndingBehind(units, offset);
    const last = firstBeginningAt(units, offset + length) - 1;
    if (first <= last) mapped.push({ first, last });
  }
  return mapped;
}

/** The bytes that units hold, with what lies between. */
export function rangeOf(units: UnitTable, { first, last }: UnitRange): ReplayRange {
  const offset = units.dataOffset(first);
  return { offset, length: units.dataOffset(last) + units.dataLength(last) - offset };
}

function firstEndingBehind(units: UnitTable, offset: number): number {
  const next = firstBeginningAt(units, offset + 1);
  const before = next - 1;
  return before >= 0 && units.dataOffset(before) + units.dataLength(before) > offset ? before : next;
}

function firstBeginningAt(units: UnitTable, offset: number): number {
  let low = 0;
  let high = units.count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (units.dataOffset(middle) < offset) low = middle + 1;
    else high = middle;
  }
  return low;
}
