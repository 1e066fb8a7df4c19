import t from "tap";
import { KIB, MIB, PREFETCH_FAILURES_MAX, REPLAYS_KEPT_MAX } from "../../src/layer/limits.js";
import { Replay } from "../../src/layer/replay.js";
import type { ReplayPart, ReplayPlan } from "../../src/layer/replay-contract.js";
import { settle } from "../../testing/layer/fake-clock.js";
import { type RigLayer, type SchedulerRig, schedulerRig } from "../../testing/layer/scheduler-rig.js";

const UNIT = 16 * KIB;

/** Units of a layer, first and last, as one part of a plan. */
function part({ source }: RigLayer, ...units: readonly (readonly [number, number])[]): ReplayPart {
  return {
    digest: source.digest,
    ranges: units.map(([first, last]) => ({ offset: first * UNIT, length: (last - first + 1) * UNIT })),
  };
}

function planOf(parts: readonly ReplayPart[], bounds: Partial<ReplayPlan> = {}): ReplayPlan {
  return { parts, bytesMax: 1024 * MIB, timeMaxMs: 60_000, label: "test", ...bounds };
}

function replay(rig: SchedulerRig, plan: ReplayPlan) {
  return rig.scheduler.replay(plan, { isHint: false });
}

/** First and last unit of each request so far. */
function asked({ source }: RigLayer): (readonly [number, number])[] {
  return source.requests.map(({ offset, length }) => [offset / UNIT, (offset + length) / UNIT - 1] as const);
}

t.test("replay() asks for what is needed first, over several layers", async (t) => {
  const rig = schedulerRig({ units: 2048, unitBytes: UNIT });
  const other = rig.add(2, 2048, UNIT);
  for (const layer of [rig, other]) layer.source.hold();
  const parts = [
    part(other, [1000, 1003]),
    part(rig, [500, 501]),
    part(other, [10, 11]),
    part(rig, [0, 0]),
    part(rig, [1500, 1500]),
  ];
  const handle = replay(rig, planOf(parts));
  await settle();
  t.same(asked(other), [
    [1000, 1003],
    [10, 11],
  ]);
  t.same(asked(rig), [
    [500, 501],
    [0, 0],
    [1500, 1500],
  ]);
  t.equal(rig.scheduler.figures.prefetchRequests, 5, "short ones run side by side");
  for (const layer of [rig, other]) layer.source.release();
  await settle();
  t.match(handle.figures(), {
    state: "done",
    plannedBytes: 10 * UNIT,
    storedBytes: 10 * UNIT,
    requestedBytes: 10 * UNIT,
    requests: 5,
    start: undefined,
  });
});

t.test(
  "replay() joins what lies near in the blob, and what is needed soon with what is needed first",
  async (t) => {
    const rig = schedulerRig({ units: 4096, unitBytes: UNIT });
    const handle = replay(
      rig,
      planOf([part(rig, [20, 22], [2000, 2000]), part(rig, [24, 25], [10, 15], [19, 19], [2001, 2100])]),
    );
    await settle();
    t.same(asked(rig), [
      [19, 25],
      [2000, 2100],
      [10, 15],
    ]);
    t.equal(handle.figures().storedBytes, (7 + 101 + 6) * UNIT, "one unit lay between");
  },
);

t.test("replay() fetches a long range in large requests, once", async (t) => {
  const rig = schedulerRig({ units: 1024, unitBytes: UNIT });
  replay(rig, planOf([part(rig, [0, 1023], [100, 700], [0, 1023])]));
  await settle();
  t.same(
    rig.source.requests.map(({ length }) => length),
    Array.from({ length: 4 }, () => 4 * MIB),
  );
  t.ok(rig.ledger.isComplete);
});

t.test("replay() ends at its bytes and at its time", async (t) => {
  const rig = schedulerRig({ units: 1024, unitBytes: UNIT });
  const small = replay(rig, planOf([part(rig, [0, 1], [100, 101], [200, 201])], { bytesMax: 5 * UNIT }));
  await settle();
  t.match(small.figures(), { state: "bytes-over", requestedBytes: 5 * UNIT });
  rig.source.hold();
  const late = replay(rig, planOf([part(rig, [300, 301]), part(rig, [900, 901])], { timeMaxMs: 2_000 }));
  await rig.clock.advance(2_000);
  t.equal(late.figures().state, "time-over");
  rig.source.release();
  await settle();
  t.ok(rig.ledger.hasAll(300, 301), "what was asked for comes");
  for (const bound of [0, -1, Number.NaN]) {
    t.equal(replay(rig, planOf([part(rig, [700, 701])], { bytesMax: bound })).figures().state, "running");
    await settle();
    t.equal(rig.scheduler.figures.replays.at(-1)?.state, "bytes-over", `${bound} bytes`);
    replay(rig, planOf([part(rig, [700, 701])], { timeMaxMs: bound }));
    await rig.clock.advance(0);
  }
  t.equal(rig.ledger.firstMissing(700, 701), 700);
});

t.test("cancel() cuts the requests that nobody waits for", async (t) => {
  const rig = schedulerRig({ units: 1024, unitBytes: UNIT });
  rig.source.hold();
  const handle = replay(rig, planOf([part(rig, [0, 200]), part(rig, [512, 800])]));
  await settle();
  rig.miss(1n, 2);
  handle.cancel();
  await settle();
  t.equal(handle.figures().state, "cancelled");
  t.equal(rig.scheduler.figures.prefetchRequests, 1, "a read waits for the other");
  rig.source.release();
  await settle();
  t.equal(rig.fetcher.waitingReads, 0);
  t.equal(rig.ledger.firstMissing(512, 800), 512);
});

t.test("replay() goes on with a layer when it comes, and begins anew with one that left", async (t) => {
  const rig = schedulerRig({ units: 64, unitBytes: UNIT });
  const gone = rig.add(3, 64, UNIT);
  const later = {
    source: { digest: schedulerRig({ units: 1, unitBytes: UNIT }).add(2, 1, UNIT).source.digest },
  };
  rig.scheduler.remove(3);
  const handle = replay(
    rig,
    planOf([part(later as RigLayer, [8, 15]), part(rig, [0, 3]), part(gone, [0, 7])]),
  );
  await settle();
  t.same(asked(rig), [[0, 3]], "others do not wait for it");
  t.equal(handle.figures().state, "running");
  const come = rig.add(2, 64, UNIT);
  await settle();
  t.same(asked(come), [[8, 15]]);
  t.equal(handle.figures().state, "running");
  const back = rig.add(3, 64, UNIT);
  await settle();
  t.same(asked(back), [[0, 7]]);
  t.match(handle.figures(), { state: "done", plannedBytes: 20 * UNIT });
});

t.test("a read that no replay expects stops it, and is served first", async (t) => {
  const rig = schedulerRig({ units: 4096, unitBytes: UNIT });
  rig.source.hold();
  const far = Array.from({ length: 30 }, (_, step) => part(rig, [step * 130, step * 130 + 39]));
  replay(rig, planOf(far));
  await settle();
  t.equal(rig.scheduler.figures.prefetchRequests, 8);
  rig.miss(1n, 4000);
  await settle();
  t.match(rig.scheduler.figures, { prefetchRequests: 8, demandRequests: 1 }, "requests near their end go on");
  rig.source.release();
  await settle();
  t.equal(rig.fetcher.waitingReads, 0);
  t.ok(rig.ledger.hasAll(29 * 130, 29 * 130 + 39), "the replay goes on");

  const long = schedulerRig({ units: 4096, unitBytes: UNIT });
  long.source.hold();
  replay(long, planOf([part(long, [0, 3000])]));
  await settle();
  t.match(long.scheduler.figures, { prefetchRequests: 1, bytesInFlight: 4 * MIB }, "long ones go one by one");
  long.miss(1n, 4000);
  await settle();
  t.match(long.scheduler.figures, { prefetchRequests: 0, demandRequests: 1 }, "and end for it");
  long.source.release();
  await settle();
  t.ok(long.ledger.hasAll(0, 3000));
});

t.test("a read whose bytes a replay is bringing stops nothing", async (t) => {
  const rig = schedulerRig({ units: 4096, unitBytes: UNIT });
  rig.source.hold();
  replay(rig, planOf([part(rig, [0, 1023])]));
  await settle();
  rig.miss(1n, 40);
  await settle();
  t.match(rig.scheduler.figures, { prefetchRequests: 1, demandRequests: 0, waitingReads: 1 });
  rig.source.release();
  await settle();
  t.equal(rig.fetcher.waitingReads, 0);
  t.equal(rig.source.fetchedBytes, 16 * MIB, "each byte once");
});

t.test("a read of what a plan names for much later is treated as if it named it not", async (t) => {
  const rig = schedulerRig({ units: 4096, unitBytes: UNIT, readaheadMaxBytes: 4 * MIB });
  replay(rig, planOf([part(rig, [0, 3999])]));
  rig.miss(1n, 3900);
  rig.source.hold();
  await settle();
  t.same(asked(rig)[0], [3900, 3964], "with the readahead of an unknown place");
  t.match(rig.scheduler.figures, { prefetchRequests: 0, demandRequests: 1 });
  rig.source.release();
  await settle();
  t.ok(rig.ledger.hasAll(0, 3999), "and the replay goes on");
});

t.test("a read that a replay expects soon takes along what is expected behind it", async (t) => {
  const rig = schedulerRig({ units: 4096, unitBytes: UNIT, readaheadMaxBytes: 4 * MIB });
  rig.source.hold();
  replay(rig, planOf([part(rig, [0, 1023]), part(rig, [3000, 3003], [3005, 3008])]));
  await settle();
  rig.source.requests.length = 0;
  rig.miss(1n, 3000);
  await settle();
  t.same(asked(rig)[0], [3000, 3008], "and not what happens to lie there");
  t.match(rig.scheduler.figures, { prefetchRequests: 1, demandRequests: 1 }, "the replay goes on");
  rig.source.release();
  await settle();
  t.ok(rig.ledger.hasAll(0, 1023));
  rig.miss(2n, 3009);
  await settle();
  t.equal(rig.source.requests.at(-1)?.length, 2 * MIB + UNIT, "who goes on reading gets readahead");
});

t.test(
  "replay() gives up when requests fail again and again, and reads don't wait for its pauses",
  async (t) => {
    const rig = schedulerRig({ units: 64, unitBytes: UNIT });
    rig.source.isDown = true;
    const handle = replay(rig, planOf([part(rig, [0, 3])]));
    await rig.clock.advance(200);
    t.match(handle.figures(), { state: "running", failures: 1 });
    rig.source.isDown = false;
    rig.miss(1n, 40);
    await settle();
    t.equal(rig.fetcher.waitingReads, 0, "a read is not held up by the failure of a replay");
    rig.source.isDown = true;
    const failing = replay(rig, planOf([part(rig, [20, 23])]));
    await rig.clock.advance(60_000);
    t.match(failing.figures(), { state: "failed", failures: PREFETCH_FAILURES_MAX });
  },
);

t.test("replay() takes any advice", async (t) => {
  const rig = schedulerRig({ units: 64, unitBytes: UNIT });
  const { digest } = rig.source;
  const odd = [
    [-1, 10],
    [0, -5],
    [0, 0],
    [Number.NaN, 4],
    [1.5, 4],
    [64 * UNIT, 1],
    [Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
    [Number.POSITIVE_INFINITY, 1],
    [62 * UNIT + 1, Number.MAX_SAFE_INTEGER],
  ].map(([offset, length]) => ({ offset: offset!, length: length! }));
  const handle = replay(rig, planOf([{ digest, ranges: odd }]));
  await settle();
  t.same(asked(rig), [[62, 63]], "what is no range is passed over, what is too long is cut");
  t.equal(handle.figures().state, "done");
  const many = Array.from({ length: 100_000 }, (_, index) => ({ offset: (index % 32) * UNIT, length: 1 }));
  const huge = replay(rig, planOf(Array.from({ length: 20_000 }, () => ({ digest, ranges: many }))));
  await settle();
  t.match(huge.figures(), { state: "done", plannedBytes: 32 * UNIT, storedBytes: 32 * UNIT });
  t.equal(replay(rig, planOf([])).figures().state, "running");
  await settle();
  t.equal(rig.scheduler.figures.replays.at(-1)?.state, "done", "nothing is soon done");
  const strange = replay(
    rig,
    planOf([part(schedulerRig({ units: 1, unitBytes: UNIT }).add(9, 1, UNIT), [0, 1])]),
  );
  await rig.clock.advance(60_000);
  t.match(strange.figures(), { state: "time-over", requests: 0 }, "a layer that never comes");
});

t.test("measureReplays() holds what a replay brought against what a start touched", async (t) => {
  const rig = schedulerRig({ units: 64, unitBytes: UNIT, present: [0, 1] });
  const other = rig.add(2, 64, UNIT);
  other.source.hold();
  const handle = replay(rig, planOf([part(rig, [0, 9]), part(other, [0, 1])]));
  await settle();
  rig.scheduler.onMiss([{ layer: 2, firstUnit: 0, lastUnit: 0, read: 1n }]);
  await settle();
  other.source.release();
  await settle();
  const touch = (layer: number, unit: number, waitedMs = 0) => ({ layer, unit, waitedMs });
  const layers = [{ digest: other.source.digest }, { digest: rig.source.digest }];
  rig.scheduler.measureReplays({ layers: layers.slice(1), touches: [touch(0, 3)] });
  t.equal(handle.figures().start, undefined, "a start of another image says nothing");
  const touches = [
    touch(1, 0),
    touch(1, 2),
    touch(1, 3),
    touch(1, 3),
    touch(1, 50, 30),
    touch(0, 0, 12),
    touch(7, 1),
  ];
  rig.scheduler.measureReplays({ layers, touches });
  const measure = {
    touchedBytes: 4 * UNIT,
    hitBytes: 2 * UNIT,
    lateBytes: UNIT,
    wasteBytes: 7 * UNIT,
    recall: 0.5,
    precision: 0.3,
  };
  t.match(handle.figures(), { presentBytes: 2 * UNIT, storedBytes: 10 * UNIT, start: measure });
  rig.scheduler.measureReplays({ layers, touches: [] });
  t.match(handle.figures().start, measure, "the next start, of which all is here, does not count");
  rig.scheduler.remove(1);
  t.match(
    handle.figures(),
    { storedBytes: 10 * UNIT, start: measure },
    "a layer that goes takes no figures along",
  );
});

t.test("a replay that ended long ago keeps its figures, but no layer", async (t) => {
  const rig = schedulerRig({ units: 64, unitBytes: UNIT });
  const start = { layers: [{ digest: rig.source.digest }], touches: [] };
  const handles = [];
  for (let count = 0; count <= REPLAYS_KEPT_MAX; count += 1) {
    handles.push(replay(rig, planOf([part(rig, [count, count])])));
    await settle();
  }
  const replays = handles.filter((handle) => handle instanceof Replay);
  t.equal(replays.length, REPLAYS_KEPT_MAX + 1);
  const figures = { state: "done", plannedBytes: UNIT, storedBytes: UNIT, requests: 1 };
  for (const one of replays) t.match(one.figures(), figures);
  t.same(
    replays.map((one) => one.measure(start) !== undefined),
    replays.map((_, index) => index > 0),
    "no start can be held against the oldest",
  );
});
