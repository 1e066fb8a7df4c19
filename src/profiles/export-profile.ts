import type { Digest } from "../bytes/index.js";
import { failedPrecondition } from "../errors/index.js";
import type { LayerUnits } from "../layer/index.js";
import { encodePrefetch, type SpanRange } from "../soci/index.js";
import type { Profile } from "./contract.js";
import { usedEntries } from "./merge-starts.js";
import { type RangeFinder, ReplayPlanner } from "./plan-replay.js";

/** Paths in the order of need, each once, a line each: for `lazuli convert --prioritize`. */
export function prioritizeList(profile: Profile): string {
  const paths = new Set(usedEntries(profile).map(({ file }) => profile.files[file]!.path));
  return [...paths].map((path) => `${path}\n`).join("");
}

export interface LayerPrefetch {
  readonly layer: Digest;
  /** `application/vnd.amazon.soci.prefetch.v1+json`. */
  readonly bytes: Buffer;
  readonly spans: number;
}

/**
 * The same as SOCI has it, for each layer of the profile that lies on this node with a SOCI index: spans are those of its
 * zTOC. @throws FAILED_PRECONDITION `soci-missing` where there is none
 */
export async function sociPrefetch(
  profile: Profile,
  options: {
    readonly files: RangeFinder & {
      unitsIn(
        digest: Digest,
        ranges: readonly { readonly offset: number; readonly length: number }[],
      ): Promise<LayerUnits>;
    };
    readonly signal: AbortSignal;
  },
): Promise<readonly LayerPrefetch[]> {
  const { files, signal } = options;
  const planner = new ReplayPlanner({ profile, files });
  const image = new Set(profile.layers);
  const found: LayerPrefetch[] = [];
  for (const layer of profile.layers) {
    const ranges = await planner.rangesIn(layer, { image, signal });
    if (ranges.length === 0) continue;
    const { format, units } = await files.unitsIn(layer, ranges);
    if (format !== "soci" || units.length === 0) continue;
    // A unit of such a layer is a span. Ranges of one priority are sorted by their writer: so each has one of its own.
    const spans = runsOf(units).map((run, priority): SpanRange => ({ ...run, priority }));
    found.push({ layer, bytes: encodePrefetch(spans), spans: units.length });
  }
  if (found.length > 0) return found;
  throw failedPrecondition(
    "Cannot write SOCI prefetch artifacts: no layer of the profile is here with a SOCI index",
    {
      reason: "soci-missing",
      hint: "Pull the image with its SOCI index on this node first; `lazuli explain IMAGE` shows the format of its layers",
    },
  );
}

/** Units that follow each other as ranges, in the order in which they came. */
function runsOf(units: readonly number[]): { first: number; last: number }[] {
  const runs: { first: number; last: number }[] = [];
  for (const unit of units) {
    const run = runs.at(-1);
    if (run !== undefined && run.last + 1 === unit) run.last = unit;
    else runs.push({ first: unit, last: unit });
  }
  return runs;
}
