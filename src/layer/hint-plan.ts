import type { LayerFiles } from "./layer-folder.js";
import type { UnitRange } from "./layer-record.js";
import { REPLAY_TIME_MAX_MS } from "./limits.js";
import { rangeOf } from "./map-ranges.js";
import type { ReplayPlan } from "./replay-contract.js";

/** What the layer's own index says that a start reads; undefined: it says nothing. */
export function hintPlan({ record, units }: Pick<LayerFiles, "record" | "units">): ReplayPlan | undefined {
  const ranges = hintedUnits({ record, units }).map((range) => rangeOf(units, range));
  if (ranges.length === 0) return undefined;
  return {
    parts: [{ digest: record.digest, ranges }],
    bytesMax: units.blobSize,
    timeMaxMs: REPLAY_TIME_MAX_MS,
    label: `index of ${record.digest}`,
  };
}

function hintedUnits({ record, units }: Pick<LayerFiles, "record" | "units">): readonly UnitRange[] {
  const { prefetch } = record;
  // A damaged record may name units that the table has not.
  if (prefetch.kind === "units") return prefetch.ranges.filter(({ last }) => last < units.count);
  if (prefetch.kind !== "range") return [];
  const last = units.firstAtBlobOffset(prefetch.end) - 1;
  return last < 0 ? [] : [{ first: 0, last }];
}
