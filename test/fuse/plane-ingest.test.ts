import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { closeSync, openSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import t from "tap";
import { unitOutcomes } from "../../src/fuse/index.js";
import { encodeUnitTable } from "../../src/units/index.js";
import {
  addSample,
  ingest,
  makeGzipSample,
  makeRig,
  makeSample,
  type SampleStream,
  sha256,
  sumFromOutside,
} from "./rig.js";

const { stored, alreadyPresent, corrupt, truncated, noSpace } = unitOutcomes;

/** Three units in one stream, with bytes before, between and behind them that belong to nobody. */
function group(
  codec: SampleStream["codec"],
  compressed?: Buffer,
  content = randomBytes(300_000),
): SampleStream {
  return {
    codec,
    content,
    units: [
      [512, 100_000, 0],
      [101_000, 5000, 102_400],
      [150_000, 149_000, 108_544],
    ],
    ...(compressed === undefined ? {} : { compressed }),
  };
}

t.test("ingest() decodes every codec and takes units out of the middle of a stream", async (t) => {
  await using rig = await makeRig();
  const content = randomBytes(300_000);
  const zstd = execFileSync("zstd", ["-q", "-c", "-3"], { input: content });
  const streams = {
    gzip: group("gzip", undefined, content),
    zstd: group("zstd", zstd, content),
    raw: group("raw", undefined, content),
  };
  for (const [index, [name, stream]] of Object.entries(streams).entries()) {
    const layer = index + 1;
    const sample = makeSample([stream], 300_000);
    addSample(rig, layer, sample);
    t.same(
      await ingest(rig, layer, sample, { firstUnit: 1, lastUnit: 1 }),
      [stored],
      `${name}: the middle one`,
    );
    t.same(
      await ingest(rig, layer, sample, { firstUnit: 0, lastUnit: 2 }),
      [stored, alreadyPresent, stored],
      `${name}: the others`,
    );
    t.equal(await sumFromOutside(join(rig.mount, String(layer))), sha256(sample.data), name);
  }
});

t.test("ingest() goes on over gzip members that follow each other", async (t) => {
  await using rig = await makeRig();
  const content = randomBytes(100_000);
  const compressed = Buffer.concat([
    gzipSync(content.subarray(0, 30_000)),
    gzipSync(Buffer.alloc(0)),
    gzipSync(content.subarray(30_000)),
  ]);
  const sample = makeSample([{ codec: "gzip", content, compressed, units: [[1000, 90_000, 0]] }], 90_000);
  addSample(rig, 1, sample);
  t.same(await ingest(rig, 1, sample, { firstUnit: 0, lastUnit: 0 }), [stored]);
});

t.test("ingest() says corrupt or truncated and keeps such units missing", async (t) => {
  await using rig = await makeRig();
  const sample = makeGzipSample(4, 64 * 1024);
  addSample(rig, 1, sample);
  const blob = Buffer.from(sample.blob);
  const middle = sample.table.blobOffset(1) + 500;
  blob[middle] = blob[middle]! ^ 0x55;
  t.same(await ingest(rig, 1, sample, { firstUnit: 0, lastUnit: 2, blob }), [stored, corrupt, stored]);
  const cut = sample.blob.subarray(0, sample.table.blobOffset(3) + 100);
  t.same(await ingest(rig, 1, sample, { firstUnit: 3, lastUnit: 3, blob: cut }), [truncated]);
  t.same([...rig.plane.presence(1)], [0b0101]);
  t.equal(rig.plane.stats().unitsCorrupt, 1);
  const right = sample.blob.subarray(0);
  t.same(await ingest(rig, 1, sample, { firstUnit: 1, lastUnit: 3, blob: right }), [
    stored,
    alreadyPresent,
    stored,
  ]);
});

t.test("ingest() says noSpace when the data file can't grow", async (t) => {
  await using rig = await makeRig();
  const sample = makeGzipSample(1, 64 * 1024);
  const fd = openSync("/dev/full", "r+");
  rig.plane.addLayer({
    number: 1,
    dataFd: fd,
    units: sample.table.buffer,
    present: new Uint8Array(1),
    metaFd: -1,
  });
  closeSync(fd);
  t.same(await ingest(rig, 1, sample, { firstUnit: 0, lastUnit: 0 }), [noSpace]);
  t.equal(rig.plane.presentCount(1), 0);
});

t.test("ingest() stores a unit once when many bring it", async (t) => {
  await using rig = await makeRig();
  const sample = makeGzipSample(16, 64 * 1024);
  addSample(rig, 1, sample);
  const results = await Promise.all(
    Array.from({ length: 8 }, () => ingest(rig, 1, sample, { firstUnit: 0, lastUnit: 15 })),
  );
  for (let unit = 0; unit < 16; unit += 1) {
    const outcomes = results.map((result) => result[unit]);
    t.equal(outcomes.filter((outcome) => outcome === stored).length, 1, `unit ${unit}`);
    t.equal(outcomes.filter((outcome) => outcome === alreadyPresent).length, 7);
  }
  t.equal(rig.plane.stats().unitsStored, 16);
  t.equal(rig.plane.presentCount(1), 16);
});

t.test("ingest() refuses units and bytes that don't go together", async (t) => {
  await using rig = await makeRig();
  const sample = makeGzipSample(2, 4096);
  addSample(rig, 1, sample);
  const bytes = sample.blob;
  const wrong = { layer: 1, firstUnit: 0, lastUnit: 2, bytes, blobOffset: 0 };
  t.throws(() => rig.plane.ingest(wrong), { code: "ERR_OUT_OF_RANGE" }, "there is no unit 2");
  t.throws(() => rig.plane.ingest({ ...wrong, lastUnit: 0, blobOffset: 1 }), { code: "ERR_OUT_OF_RANGE" });
  t.throws(() => rig.plane.ingest({ ...wrong, layer: 9 }), { code: "ERR_OUT_OF_RANGE" });
  t.throws(() => rig.plane.ingest({ ...wrong, firstUnit: 1.5 }), { code: "ERR_INVALID_ARG_VALUE" });
});

t.test("sync() returns the bits set before it, and verify() judges from disk", async (t) => {
  await using rig = await makeRig();
  const sample = makeGzipSample(10, 16 * 1024);
  const path = addSample(rig, 1, sample);
  await ingest(rig, 1, sample, { firstUnit: 1, lastUnit: 8 });
  t.same([...(await rig.plane.sync(1))], [0b1111_1110, 0b1]);
  truncateSync(path, 8 * 16 * 1024 + 100);
  const outcomes = [...(await rig.plane.verify(1, 0, 9))];
  t.same(outcomes, [truncated, ...Array(7).fill(alreadyPresent), truncated, truncated]);
  t.same([...rig.plane.presence(1)], [0b1111_1110, 0]);
  await rig.until(() => rig.damaged.length === 1);
  t.same(rig.damaged, [{ layer: 1, unit: 8 }]);
});

t.test("addLayer() refuses tables that are damaged or claim too much", async (t) => {
  await using rig = await makeRig();
  const sample = makeGzipSample(1, 4096);
  const fd = openSync("/dev/null", "r+");
  const add = (units: Uint8Array): void =>
    rig.plane.addLayer({ number: 1, dataFd: fd, units, present: new Uint8Array(1), metaFd: -1 });
  const flipped = Buffer.from(sample.table.buffer);
  flipped[70] = flipped[70]! ^ 1;
  t.throws(() => add(flipped), { code: "ERR_INVALID_ARG_VALUE" });
  t.throws(() => add(flipped.subarray(0, 50)), { code: "ERR_INVALID_ARG_VALUE" });
  const huge = {
    dataOffset: 0,
    blobOffset: 0,
    blobLength: 10,
    sha256: Buffer.alloc(32),
    codec: "gzip",
  } as const;
  const facts = { dataSize: 2 ** 40, blobSize: 10, blockSize: 512 };
  for (const [dataLength, innerOffset] of [
    [64 * 1024 * 1024 + 1, 0],
    [1, 256 * 1024 * 1024],
  ] as const) {
    const table = encodeUnitTable([{ ...huge, dataLength, innerOffset }], facts);
    t.throws(() => add(table.buffer), { code: "ERR_INVALID_ARG_VALUE" });
  }
  t.throws(
    () =>
      rig.plane.addLayer({
        number: 1,
        dataFd: 9999,
        units: sample.table.buffer,
        present: new Uint8Array(1),
        metaFd: -1,
      }),
    { code: "EBADF", syscall: "fcntl" },
  );
  add(sample.table.buffer);
  t.throws(() => add(sample.table.buffer), /taken/);
  closeSync(fd);
});
