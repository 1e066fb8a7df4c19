import type { UnitRange } from "./layer-record.js";
import { CORRUPT_ATTEMPTS_MAX } from "./limits.js";
import type { RequestPlan } from "./plan-request.js";
import type { UnitLedger } from "./unit-ledger.js";

export interface JoinOptions {
  readonly ledger: UnitLedger;
  /** What the request brings anyway. */
  readonly plan: RequestPlan;
  /** Units that are wanted too, in any order; overlaps are fine. */
  readonly near: readonly UnitRange[];
  readonly requestBytesMax: number;
  /** Bytes between two wanted streams that may be fetched along, and for all gaps together unless `gapShareMax` allows more. */
  readonly gapBytesMax: number;
  /** All gaps together to the bytes that are wanted. */
  readonly gapShareMax: number;
  /** Bytes that may come before those of `plan`, which wait for them. */
  readonly leadBytesMax: number;
}

interface Run {
  first: number;
  last: number;
  start: number;
  end: number;
  gapBytes: number;
}

/** The request with what lies near it in the blob, first behind it, then before. Takes no unit that is on its way. */
export function joinNear(options: JoinOptions): RequestPlan {
  const { plan, near, leadBytesMax } = options;
  const run: Run = {
    first: plan.firstUnit,
    last: plan.lastUnit,
    start: plan.offset,
    end: plan.offset + plan.length,
    gapBytes: 0,
  };
  const sorted = near.toSorted((one, other) => one.first - other.first);
  for (const range of sorted) if (!growBehind(run, range, options)) break;
  if (leadBytesMax > 0) {
    for (const range of sorted.reverse()) if (!growBefore(run, range, options)) break;
  }
  return { firstUnit: run.first, lastUnit: run.last, offset: run.start, length: run.end - run.start };
}

/** False: nothing further behind can join. */
function growBehind(run: Run, range: UnitRange, options: JoinOptions): boolean {
  const { ledger, requestBytesMax } = options;
  const { units } = ledger;
  for (;;) {
    const unit = ledger.firstWanted(Math.max(range.first, run.last + 1), range.last);
    if (unit === undefined) return true;
    const stream = units.streamOf(unit);
    const gap = Math.max(0, units.blobOffset(unit) - run.end);
    const end = Math.max(run.end, units.blobEnd(unit));
    if (end - run.start > requestBytesMax || !hasRoom(run, { gap, end, start: run.start }, options))
      return false;
    if (!canJoin(ledger, run.last + 1, stream.last)) return false;
    run.last = stream.last;
    run.end = end;
    run.gapBytes += gap;
  }
}

/** False: nothing further before can join. */
function growBefore(run: Run, range: UnitRange, options: JoinOptions): boolean {
  const { ledger, plan, requestBytesMax, leadBytesMax, gapBytesMax } = options;
  const { units } = ledger;
  for (let unit = Math.min(range.last, run.first - 1); unit >= range.first; ) {
    const stream = units.streamOf(unit);
    const start = units.blobOffset(unit);
    const gap = Math.max(0, run.start - units.blobEnd(unit));
    if (gap > gapBytesMax || plan.offset - start > leadBytesMax) return false;
    if (ledger.firstWanted(stream.first, stream.last) !== undefined) {
      if (run.end - start > requestBytesMax || !hasRoom(run, { gap, start, end: run.end }, options))
        return false;
      if (!canJoin(ledger, stream.first, run.first - 1)) return false;
      run.first = stream.first;
      run.start = start;
      run.gapBytes += gap;
    }
    unit = stream.first - 1;
  }
  return true;
}

function hasRoom(
  run: Run,
  grown: { gap: number; start: number; end: number },
  options: JoinOptions,
): boolean {
  const { gapBytesMax, gapShareMax } = options;
  if (grown.gap > gapBytesMax) return false;
  const gaps = run.gapBytes + grown.gap;
  return gaps <= Math.max(gapBytesMax, (grown.end - grown.start - gaps) * gapShareMax);
}

/** Whether no unit of these is on its way elsewhere, or has come wrong too often. */
function canJoin(ledger: UnitLedger, first: number, last: number): boolean {
  for (let unit = first; unit <= last; unit += 1) {
    if (ledger.isOnItsWay(unit)) return false;
    if (!ledger.isPresent(unit) && ledger.failures(unit) >= CORRUPT_ATTEMPTS_MAX) return false;
  }
  return true;
}
