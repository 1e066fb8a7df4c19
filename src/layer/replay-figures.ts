import { BitSet } from "./bit-set.js";
import type { LayerFetcher } from "./layer-fetcher.js";
import type { UnitRange } from "./layer-record.js";
import type { ReplayMeasure } from "./replay-contract.js";

/** Of a StartTrace (src/traces) what the figures need. */
export interface TouchedStart {
  readonly layers: readonly { readonly digest: string }[];
  readonly touches: readonly { readonly layer: number; readonly unit: number; readonly waitedMs: number }[];
}

/** What a replay has to do with one layer. Decoded bytes. */
export interface ReplayLayer {
  readonly fetcher: LayerFetcher;
  readonly planned: BitSet;
  /** Here before the replay. */
  readonly before: BitSet;
  readonly brought: BitSet;
  /** Brought while a read waited for it. */
  readonly late: BitSet;
  readonly plannedBytes: number;
  readonly presentBytes: number;
  storedBytes: number;
}

export function replayLayer(fetcher: LayerFetcher, ranges: readonly UnitRange[]): ReplayLayer {
  const { ledger } = fetcher;
  const { units } = ledger;
  const planned = new BitSet(units.count);
  let plannedBytes = 0;
  let presentBytes = 0;
  for (const { first, last } of ranges) {
    for (let at = planned.firstAbsent(first, last); at !== undefined; at = planned.firstAbsent(at, last)) {
      planned.set(at, true);
      plannedBytes += units.dataLength(at);
      if (ledger.isPresent(at)) presentBytes += units.dataLength(at);
    }
  }
  return {
    fetcher,
    planned,
    before: ledger.presence(),
    brought: new BitSet(units.count),
    late: new BitSet(units.count),
    plannedBytes,
    presentBytes,
    storedBytes: 0,
  };
}

/** Of layers that the replay does not know, a touch counts where it had to wait. */
export function measureReplay(layers: readonly ReplayLayer[], start: TouchedStart): ReplayMeasure {
  const byDigest = new Map(layers.map((layer) => [layer.fetcher.digest as string, layer]));
  const seen = new Map(layers.map((layer) => [layer, new BitSet(layer.planned.size)]));
  const sums = { touchedBytes: 0, hitBytes: 0, lateBytes: 0 };
  for (const touch of start.touches) {
    const layer = byDigest.get(start.layers[touch.layer]?.digest ?? "");
    if (layer === undefined) continue;
    const { unit, waitedMs } = touch;
    const touched = seen.get(layer)!;
    if (unit >= touched.size || touched.has(unit) || layer.before.has(unit)) continue;
    touched.set(unit, true);
    const bytes = layer.fetcher.ledger.units.dataLength(unit);
    sums.touchedBytes += bytes;
    if (!layer.brought.has(unit)) continue;
    if (waitedMs > 0 || layer.late.has(unit)) sums.lateBytes += bytes;
    else sums.hitBytes += bytes;
  }
  const broughtBytes = layers.reduce((sum, layer) => sum + layer.storedBytes, 0);
  const used = sums.hitBytes + sums.lateBytes;
  return {
    ...sums,
    wasteBytes: Math.max(0, broughtBytes - used),
    recall: sums.touchedBytes === 0 ? 1 : sums.hitBytes / sums.touchedBytes,
    precision: broughtBytes === 0 ? 1 : used / broughtBytes,
  };
}
