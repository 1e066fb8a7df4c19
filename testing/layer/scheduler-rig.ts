import { sha256 } from "../../src/bytes/index.js";
import { BitSet } from "../../src/layer/bit-set.js";
import { LayerFetcher } from "../../src/layer/layer-fetcher.js";
import { LazySource } from "../../src/layer/lazy-source.js";
import { LinkEstimate } from "../../src/layer/link-estimate.js";
import { Scheduler } from "../../src/layer/scheduler.js";
import type { Space } from "../../src/layer/space-contract.js";
import { UnitLedger } from "../../src/layer/unit-ledger.js";
import { FakeClock } from "./fake-clock.js";
import { FakePlane, rawUnits } from "./fake-plane.js";
import { MemorySource } from "./memory-source.js";

export interface RigLayer {
  readonly source: MemorySource;
  readonly plane: FakePlane;
  readonly ledger: UnitLedger;
  readonly fetcher: LayerFetcher;
}

export interface SchedulerRig extends RigLayer {
  readonly clock: FakeClock;
  readonly scheduler: Scheduler;
  /** A read of the first layer that waits for these units, as the native plane would tell it. */
  miss(read: bigint, first: number, last?: number): void;
  /** One more layer, of raw units; the first has number 1. */
  add(number: number, units: number, unitBytes: number): RigLayer;
}

/** A layer of raw units under a scheduler, and more on demand, with time in the test's hands. */
export function schedulerRig(options: {
  readonly units: number;
  readonly unitBytes: number;
  readonly readaheadMaxBytes?: number;
  readonly backgroundFill?: boolean;
  readonly fillBytesPerSecond?: number;
  readonly demandDeadlineMs?: number;
  readonly space?: Space;
  /** Units of the first layer that an earlier process has left. */
  readonly present?: readonly number[];
}): SchedulerRig {
  const { backgroundFill = false, fillBytesPerSecond = 0, readaheadMaxBytes = 0 } = options;
  const { demandDeadlineMs = 60_000, present = [] } = options;
  const clock = new FakeClock();
  const scheduler = new Scheduler({ clock, backgroundFill, fillBytesPerSecond });
  const link = new LinkEstimate(clock);
  const add = (number: number, count: number, unitBytes: number): RigLayer => {
    const { blob, units } = rawUnits(count, unitBytes);
    const source = new MemorySource(blob, sha256(Buffer.from(`layer ${number}`)));
    const plane = new FakePlane(units);
    if (number === 1) for (const unit of present) plane.present.set(unit, true);
    const ledger = new UnitLedger(units, new BitSet(units.count, plane.presence()));
    const fetcher = new LayerFetcher({
      ...{ number, ledger, plane, clock, readaheadMaxBytes, link, demandDeadlineMs },
      digest: source.digest,
      source: new LazySource({
        digest: source.digest,
        blobSize: source.size,
        open: async () => source,
        opened: undefined,
      }),
      random: () => 1,
      wake: () => scheduler.wake(),
      onServed: (waitedMs) => scheduler.onServed(waitedMs),
      onChange: () => undefined,
      space: options.space,
    });
    scheduler.add(number, fetcher);
    return { source, plane, ledger, fetcher };
  };
  return {
    ...add(1, options.units, options.unitBytes),
    clock,
    scheduler,
    add,
    miss: (read, first, last = first) =>
      scheduler.onMiss([{ layer: 1, firstUnit: first, lastUnit: last, read }]),
  };
}
