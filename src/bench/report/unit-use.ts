import type { StartTrace } from "../../traces/index.js";

/** What became of a unit in one start, the most telling first. */
export const unitUses = ["waited", "here", "vain", "filled", "along", "untouched"] as const;
export type UnitUse = (typeof unitUses)[number];

export const useMeanings: Readonly<Record<UnitUse, string>> = {
  waited: "read, and the read had to wait",
  here: "read, and here already",
  vain: "prefetched in vain: not read",
  filled: "filled in the background, not read yet",
  along: "fetched along with what was read",
  untouched: "not fetched",
};

/** Beyond this, a layer's units are not looked at one by one: 4 million are 16 TiB of the usual 4 MiB. */
const UNITS_MAX = 4_000_000;
const codes = new Map(unitUses.map((use, index) => [use, index]));
const UNTOUCHED = codes.get("untouched")!;

/** The use of each unit of a layer, as indexes into `unitUses`, in the order of the blob. */
export function useOfUnits(trace: StartTrace, layer: number): Uint8Array {
  const units = Math.min(UNITS_MAX, trace.layers[layer]?.units ?? 0);
  const uses = new Uint8Array(units).fill(UNTOUCHED);
  const byPriority = {
    demand: codes.get("along")!,
    prefetch: codes.get("vain")!,
    background: codes.get("filled")!,
  };
  for (const request of trace.requests) {
    if (request.layer !== layer || request.hasFailed || (request.endMs ?? request.storedMs) === undefined)
      continue;
    const code = byPriority[request.priority];
    const end = Math.min(units, request.lastUnit + 1);
    for (let unit = request.firstUnit; unit < end; unit += 1) uses[unit] = Math.min(uses[unit]!, code);
  }
  for (const touch of trace.touches) {
    if (touch.layer !== layer || touch.unit >= units) continue;
    const code = touch.waitedMs > 0 ? 0 : 1;
    uses[touch.unit] = Math.min(uses[touch.unit]!, code);
  }
  return uses;
}

/** How many units of a range have each use, in the order of `unitUses`. */
export function countUses(uses: Uint8Array, from = 0, to = uses.length): readonly number[] {
  const counts = unitUses.map(() => 0);
  for (let unit = from; unit < to; unit += 1) counts[uses[unit]!]! += 1;
  return counts;
}
