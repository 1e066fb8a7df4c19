import { closeSync, openSync, truncateSync, writeSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { unitOutcomes } from "../../src/fuse/index.js";
import {
  addSample,
  allPresent,
  dd,
  ingest,
  makeGzipSample,
  makeRig,
  type Rig,
  type SampleLayer,
  sha256,
  sumFromOutside,
} from "./rig.js";

const UNIT = 192 * 1024;

function overwrite(path: string, offset: number, byte: number): void {
  const fd = openSync(path, "r+");
  writeSync(fd, Buffer.from([byte]), 0, 1, offset);
  closeSync(fd);
}

/** Brings every unit that a read misses; the units brought. */
function bringMisses(rig: Rig, sample: SampleLayer): number[] {
  const brought: number[] = [];
  rig.onMiss = ({ layer, firstUnit, lastUnit }) => {
    for (let unit = firstUnit; unit <= lastUnit; unit += 1) brought.push(unit);
    void ingest(rig, layer, sample, { firstUnit, lastUnit });
  };
  return brought;
}

t.test("read() never serves a verified unit that changed on disk: it is fetched again", async (t) => {
  await using rig = await makeRig();
  const sample = makeGzipSample(4, UNIT);
  const path = addSample(rig, 1, sample);
  await ingest(rig, 1, sample, { firstUnit: 0, lastUnit: 3 });
  const at = UNIT + 70_000;
  overwrite(path, at, sample.data[at]! ^ 0x10);
  const brought = bringMisses(rig, sample);
  const far = await dd(join(rig.mount, "1"), { offset: at + 8192, length: 4096, direct: true });
  t.ok(far.bytes.equals(sample.data.subarray(at + 8192, at + 12_288)), "other blocks of the unit are good");
  t.same(rig.damaged, [], "and raise no alarm");
  const got = await dd(join(rig.mount, "1"), { offset: at - 100, length: 200, direct: true });
  t.ok(got.bytes.equals(sample.data.subarray(at - 100, at + 100)));
  t.same(rig.damaged, [{ layer: 1, unit: 1 }]);
  t.same([...new Set(brought)], [1]);
  t.equal(rig.plane.stats().unitsDamaged, 1);
  t.equal(await sumFromOutside(join(rig.mount, "1")), sha256(sample.data));
});

t.test("read() takes a data file that was cut for damage", async (t) => {
  await using rig = await makeRig();
  const sample = makeGzipSample(3, UNIT);
  const path = addSample(rig, 1, sample);
  await ingest(rig, 1, sample, { firstUnit: 0, lastUnit: 2 });
  truncateSync(path, UNIT + 10);
  const brought = bringMisses(rig, sample);
  const got = await dd(join(rig.mount, "1"), { offset: 0, length: 3 * UNIT, direct: true });
  t.ok(got.bytes.equals(sample.data));
  t.same([...new Set(brought)], [1, 2]);
});

t.test("a unit from an earlier process is verified before its first use", async (t) => {
  await using rig = await makeRig();
  const sample = makeGzipSample(4, UNIT);
  const path = addSample(rig, 1, sample, allPresent(sample));
  overwrite(path, 2 * UNIT + 5, sample.data[2 * UNIT + 5]! ^ 1);
  t.equal(rig.plane.presentCount(1), 4);
  const brought = bringMisses(rig, sample);
  t.equal(await sumFromOutside(join(rig.mount, "1")), sha256(sample.data));
  t.same(rig.damaged, [{ layer: 1, unit: 2 }]);
  t.same([...new Set(brought)], [2], "only the damaged one is fetched");
});

t.test("verify() finds damage and leaves the good units", async (t) => {
  await using rig = await makeRig();
  const sample = makeGzipSample(3, UNIT);
  const path = addSample(rig, 1, sample, allPresent(sample));
  overwrite(path, 0, sample.data[0]! ^ 1);
  const { alreadyPresent, corrupt } = unitOutcomes;
  t.same([...(await rig.plane.verify(1, 0, 2))], [corrupt, alreadyPresent, alreadyPresent]);
  await rig.until(() => rig.damaged.length > 0);
  t.same(rig.damaged, [{ layer: 1, unit: 0 }]);
  t.same([...rig.plane.presence(1)], [0b110]);
  const brought = bringMisses(rig, sample);
  t.equal(await sumFromOutside(join(rig.mount, "1")), sha256(sample.data));
  t.same([...new Set(brought)], [0]);
});
