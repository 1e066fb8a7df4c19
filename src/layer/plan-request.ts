import { CORRUPT_ATTEMPTS_MAX } from "./limits.js";
import type { UnitLedger } from "./unit-ledger.js";

/** One range request: whole streams, in the order of the blob. Bytes. */
export interface RequestPlan {
  readonly firstUnit: number;
  readonly lastUnit: number;
  readonly offset: number;
  readonly length: number;
}

export interface PlanOptions {
  readonly ledger: UnitLedger;
  /** A wanted unit; the request begins with its stream. */
  readonly first: number;
  /** The last unit that somebody waits for; at least `first`. */
  readonly lastNeeded: number;
  /** The last unit that may be taken along. */
  readonly lastAllowed: number;
  /** Bytes that may be taken along behind the needed ones. */
  readonly windowBytes: number;
  readonly requestBytesMax: number;
  /** Bytes between two wanted streams that are fetched along. */
  readonly gapBytesMax: number;
  /** Whether streams that are present may lie in such a gap. */
  readonly bridgesPresent: boolean;
}

/** Joins wanted streams, from `first` on, into one request. Never contains a unit that is on its way elsewhere. */
export function planRequest(options: PlanOptions): RequestPlan {
  const { ledger, first, lastNeeded, lastAllowed } = options;
  const { units } = ledger;
  const start = units.streamOf(first);
  const offset = units.blobOffset(first);
  let lastUnit = start.last;
  let end = units.blobEnd(first);
  let neededEnd = end;
  for (let unit = lastUnit + 1; unit <= lastAllowed && unit < units.count; ) {
    const stream = units.streamOf(unit);
    const streamEnd = Math.max(end, units.blobEnd(unit));
    const isNeeded = stream.first <= lastNeeded;
    const limit = isNeeded
      ? options.requestBytesMax
      : Math.min(options.requestBytesMax, neededEnd - offset + options.windowBytes);
    if (streamEnd - offset > limit || units.blobOffset(unit) - end > options.gapBytesMax) break;
    const state = streamState(ledger, stream, isNeeded);
    if (state === "closed" || (state === "skip" && !options.bridgesPresent)) break;
    if (state === "wanted") {
      lastUnit = stream.last;
      end = streamEnd;
      if (isNeeded) neededEnd = streamEnd;
    }
    unit = stream.last + 1;
  }
  return { firstUnit: start.first, lastUnit, offset, length: end - offset };
}

/** Whether a stream may join: `skip` is present and only bridged, `closed` ends the request. */
function streamState(
  ledger: UnitLedger,
  stream: { readonly first: number; readonly last: number },
  isNeeded: boolean,
): "wanted" | "skip" | "closed" {
  let isMissing = false;
  for (let unit = stream.first; unit <= stream.last; unit += 1) {
    if (ledger.isOnItsWay(unit)) return "closed";
    if (ledger.isPresent(unit)) continue;
    if (!isNeeded && ledger.failures(unit) >= CORRUPT_ATTEMPTS_MAX) return "closed";
    isMissing = true;
  }
  return isMissing ? "wanted" : "skip";
}
