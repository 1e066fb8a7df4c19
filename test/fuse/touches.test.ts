import { join } from "node:path";
import t from "tap";
import { addSample, allPresent, dd, ingest, makeGzipSample, makeRig, type Rig, startDd } from "./rig.js";

interface Noted {
  readonly unit: number;
  readonly at: bigint;
  readonly waited: bigint;
}

const UNIT = 64 * 1024;

function noted(values: BigUint64Array): Noted[] {
  return Array.from({ length: values.length / 3 }, (_, index) => ({
    unit: Number(values[index * 3]),
    at: values[index * 3 + 1]!,
    waited: values[index * 3 + 2]!,
  })).sort((left, right) => left.unit - right.unit);
}

function take(rig: Rig, layer: number): Noted[] {
  return noted(rig.plane.takeTouches(layer));
}

t.test(
  "takeTouches() names the units that reads touched first, and which of them were waited for",
  async (t) => {
    await using rig = await makeRig();
    const sample = makeGzipSample(8, UNIT);
    addSample(rig, 3, sample);
    const path = join(rig.mount, "3");
    await ingest(rig, 3, sample, { firstUnit: 0, lastUnit: 1 });
    await dd(path, { offset: 0, length: 4096, direct: true });
    t.same(take(rig, 3), [], "off, nothing is noted");
    const before = process.hrtime.bigint();
    rig.plane.startTouches(3, 100);
    rig.onMiss = ({ firstUnit, lastUnit }) => void ingest(rig, 3, sample, { firstUnit, lastUnit });
    await dd(path, { offset: 4096, length: 4096, direct: true });
    await dd(path, { offset: UNIT, length: 3 * UNIT, direct: true });
    await dd(path, { offset: 0, length: 4096, direct: true });
    const after = process.hrtime.bigint();
    const touches = take(rig, 3);
    t.same(
      touches.map(({ unit, waited }) => [unit, waited > 0n]),
      [
        [0, false],
        [1, false],
        [2, true],
        [3, true],
      ],
    );
    for (const { at, waited } of touches)
      t.ok(at >= before && at + waited <= after, "on the clock of hrtime");
    t.same(take(rig, 3), [], "each once");
    rig.plane.startTouches(3, 100);
    await dd(path, { offset: 0, length: 4096, direct: true });
    t.same(
      take(rig, 3).map(({ unit }) => unit),
      [0],
      "begun anew, it is a first touch again",
    );
    rig.plane.stopTouches(3);
    await dd(path, { offset: UNIT, length: 4096, direct: true });
    t.same(take(rig, 3), []);
  },
);

t.test("takeTouches() of units that are on disk unverified says that nobody waited", async (t) => {
  await using rig = await makeRig();
  const sample = makeGzipSample(4, UNIT);
  addSample(rig, 5, sample, allPresent(sample));
  rig.plane.startTouches(5, 100);
  await dd(join(rig.mount, "5"), { offset: 2 * UNIT, length: 4096, direct: true });
  t.same(
    take(rig, 5).map(({ unit, waited }) => [unit, waited]),
    [[2, 0n]],
  );
});

t.test("waitingTouches() names what reads wait for, and a failed read counts as a touch", async (t) => {
  await using rig = await makeRig();
  const sample = makeGzipSample(4, UNIT);
  addSample(rig, 1, sample);
  rig.plane.startTouches(1, 100);
  const child = startDd(join(rig.mount, "1"), { offset: UNIT, length: 4096, direct: true });
  const ended = new Promise((resolve) => child.once("exit", resolve));
  await rig.until(() => rig.misses.length > 0);
  const waiting = noted(rig.plane.waitingTouches(1));
  t.same(
    waiting.map(({ unit, waited }) => [unit, waited > 0n]),
    [[1, true]],
  );
  t.same(take(rig, 1), []);
  rig.plane.failReads(
    rig.misses.map(({ read }) => read),
    5,
  );
  await ended;
  t.ok(take(rig, 1).some(({ unit, waited }) => unit === 1 && waited > 0n));
  t.same(noted(rig.plane.waitingTouches(1)), []);
});

t.test("startTouches() keeps to its bound, and calls for unknown layers are refused", async (t) => {
  await using rig = await makeRig();
  const sample = makeGzipSample(8, UNIT);
  addSample(rig, 1, sample);
  await ingest(rig, 1, sample, { firstUnit: 0, lastUnit: 7 });
  rig.plane.startTouches(1, 3);
  await dd(join(rig.mount, "1"), { offset: 0, length: 8 * UNIT, direct: true });
  t.equal(take(rig, 1).length, 3);
  t.throws(() => rig.plane.startTouches(2, 3), /Layer 2 does not exist/);
  t.throws(() => rig.plane.startTouches(1, 0), /max/);
  t.throws(() => rig.plane.startTouches(1, 2 ** 21), /max/);
  t.throws(() => rig.plane.takeTouches(2), /Layer 2 does not exist/);
  t.throws(() => rig.plane.waitingTouches(2), /Layer 2 does not exist/);
  t.throws(() => rig.plane.stopTouches(2), /Layer 2 does not exist/);
});
