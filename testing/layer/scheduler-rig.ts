import { BitSet } from "../../src/layer/bit-set.js";
import { LayerFetcher } from "../../src/layer/layer-fetcher.js";
import { LazySource } from "../../src/layer/lazy-source.js";
import { LinkEstimate } from "../../src/layer/link-estimate.js";
import { Scheduler } from "../../src/layer/scheduler.js";
import { UnitLedger } from "../../src/layer/unit-ledger.js";
import { FakeClock } from "./fake-clock.js";
import { FakePlane, rawUnits } from "./fake-plane.js";
import { MemorySource } from "./memory-source.js";

export interface SchedulerRig {
  readonly clock: FakeClock;
  readonly source: MemorySource;
  readonly plane: FakePlane;
  readonly ledger: UnitLedger;
  readonly fetcher: LayerFetcher;
  readonly scheduler: Scheduler;
  /** A read that waits for these units, as the native plane would tell it. */
  miss(read: bigint, first: number, last?: number): void;
}

/** One layer of raw units under a scheduler, with time in the test's hands. */
export function schedulerRig(options: {
  readonly units: number;
  readonly unitBytes: number;
  readonly readaheadMaxBytes?: number;
  readonly backgroundFill?: boolean;
  readonly demandDeadlineMs?: number;
}): SchedulerRig {
  const { blob, units } = rawUnits(options.units, options.unitBytes);
  const clock = new FakeClock();
  const source = new MemorySource(blob);
  const plane = new FakePlane(units);
  const ledger = new UnitLedger(units, new BitSet(units.count));
  const scheduler = new Scheduler({ clock, backgroundFill: options.backgroundFill ?? false });
  const fetcher = new LayerFetcher({
    number: 1,
    digest: source.digest,
    ledger,
    source: new LazySource({
      digest: source.digest,
      blobSize: source.size,
      open: async () => source,
      opened: undefined,
    }),
    plane,
    clock,
    random: () => 1,
    readaheadMaxBytes: options.readaheadMaxBytes ?? 0,
    link: new LinkEstimate(clock),
    demandDeadlineMs: options.demandDeadlineMs ?? 60_000,
    wake: () => scheduler.wake(),
    onChange: () => undefined,
  });
  scheduler.add(1, fetcher);
  return {
    clock,
    source,
    plane,
    ledger,
    fetcher,
    scheduler,
    miss: (read, first, last = first) =>
      scheduler.onMiss([{ layer: 1, firstUnit: first, lastUnit: last, read }]),
  };
}
