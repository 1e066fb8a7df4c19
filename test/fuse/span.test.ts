import { createHash, randomBytes } from "node:crypto";
import { closeSync, openSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import t from "tap";
import { sha256 as digestOf } from "../../src/bytes/index.js";
import { unitOutcomes } from "../../src/fuse/index.js";
import { compileZtoc } from "../../src/soci/index.js";
import { encodeUnitTable, UnitTable } from "../../src/units/index.js";
import { buildSoci } from "../soci/builder.js";
import { prose, sampleLayer } from "../soci/sample-layer.js";
import { gzipMembers, makeSpanLayer, type SpanLayer } from "./index-stream.js";
import { addSample, ingest, makeGzipSample, makeRig, type Rig, sha256, sumFromOutside } from "./rig.js";

const { stored, alreadyPresent, corrupt, truncated, ioError } = unitOutcomes;
const content = Buffer.concat([prose(500_000, 1), randomBytes(60_000), prose(500_000, 2)]);

interface AddOptions {
  readonly number?: number;
  readonly path?: string;
  readonly present?: Uint8Array;
  readonly sums?: Uint8Array;
  readonly windows?: Uint8Array | { fd: number; offset: number; count: number };
}

function add(rig: Rig, layer: SpanLayer, options: AddOptions = {}): void {
  const { number = 1, path = join(rig.folder, `data-${number}`), windows = layer.windows } = options;
  const dataFd = openSync(path, "a+");
  const fd = openSync(path, "r+");
  try {
    rig.plane.addLayer({
      number,
      dataFd: fd,
      units: layer.table.buffer,
      present: options.present ?? new Uint8Array(Math.ceil(layer.table.count / 8)),
      ...(options.sums === undefined ? {} : { sums: options.sums }),
      windows,
      metaFd: -1,
    });
  } finally {
    closeSync(fd);
    closeSync(dataFd);
  }
}

/** Ingests units with no byte more than the ranges that they need. */
async function bring(
  rig: Rig,
  layer: SpanLayer,
  range: { from: number; to: number; layer?: number; blob?: Buffer },
) {
  const { from, to, blob = layer.blob } = range;
  const blobOffset = layer.table.blobOffset(from);
  const bytes = Buffer.from(blob.subarray(blobOffset, layer.table.blobEnd(to)));
  const options = { layer: range.layer ?? 1, firstUnit: from, lastUnit: to, bytes, blobOffset };
  return [...(await rig.plane.ingest(options))];
}

t.test("ingest() inflates every span for itself, and all at once", async (t) => {
  for (const digestOf of ["data", "blob"] as const) {
    for (const blob of [gzipSync(content), gzipMembers(content)]) {
      await using rig = await makeRig();
      const layer = await makeSpanLayer(blob, { digestOf, spanSizeBytes: 30_000 });
      const { count } = layer.table;
      t.ok(count > 8, `${count} spans`);
      add(rig, layer);
      for (let unit = count - 1; unit >= 0; unit -= 2) {
        t.same(await bring(rig, layer, { from: unit, to: unit }), [stored], `unit ${unit}`);
      }
      const outcomes = await bring(rig, layer, { from: 0, to: count - 1 });
      t.equal(outcomes.filter((outcome) => outcome === stored).length, Math.floor(count / 2));
      t.equal(outcomes.filter((outcome) => outcome === alreadyPresent).length, Math.ceil(count / 2));
      t.equal(await sumFromOutside(join(rig.mount, "1")), sha256(content));
    }
  }
});

t.test("ingest() decodes the layers of soci", async (t) => {
  await using rig = await makeRig();
  const { ztoc, blob, tar } = buildSoci(sampleLayer, { memberSize: 70_000 });
  const { units, windows, dataSize } = compileZtoc({ ztoc, digest: digestOf(ztoc), blobSize: blob.length });
  const table = encodeUnitTable(units, { dataSize, blobSize: blob.length, blockSize: 512, windows });
  const layer = { data: tar, blob, table, windows };
  add(rig, layer);
  const outcomes = await bring(rig, layer, { from: 0, to: table.count - 1 });
  t.same(outcomes, new Array(table.count).fill(stored));
  t.equal(await sumFromOutside(join(rig.mount, "1")), sha256(tar));
});

t.test("ingest() finds damage and cuts at every position of a span", async (t) => {
  await using rig = await makeRig();
  const data = Buffer.concat([prose(40_000, 3), prose(300, 4)]);
  const blob = Buffer.concat([gzipSync(data.subarray(0, 40_000)), gzipSync(data.subarray(40_000))]);
  const path = join(rig.folder, "data");
  let number = 0;
  for (const digestOf of ["data", "blob"] as const) {
    const layer = await makeSpanLayer(blob, { digestOf, spanSizeBytes: 39_000 });
    const last = layer.table.count - 1;
    const start = layer.table.blobOffset(last);
    const offset = layer.table.dataOffset(last);
    t.ok(blob.length - start < 400 && last > 0, "the last span is small");
    const attempt = async (bytes: Buffer): Promise<number> => {
      number += 1;
      add(rig, layer, { number, path });
      const [outcome] = await bring(rig, layer, { from: last, to: last, layer: number, blob: bytes });
      rig.plane.removeLayer(number);
      return outcome!;
    };
    t.equal(await attempt(blob), stored);
    for (let at = start; at < blob.length; at += 1) {
      const damaged = Buffer.from(blob);
      damaged[at] = damaged[at]! ^ 0xff;
      for (const [bytes, refusal] of [
        [damaged, corrupt],
        [blob.subarray(0, at), truncated],
      ] as const) {
        const outcome = await attempt(bytes);
        if (digestOf === "blob") t.equal(outcome, refusal, `byte ${at}`);
        // Headers and trailers hold nothing that the bytes depend on.
        else if (outcome === stored) t.ok(readFileSync(path).subarray(offset).equals(data.subarray(offset)));
        else t.ok([corrupt, truncated].includes(outcome as 2 | 3), `byte ${at}`);
      }
    }
  }
});

t.test("sums() make units with digests of the blob outlive a restart", async (t) => {
  const layer = await makeSpanLayer(gzipSync(content), { digestOf: "blob", spanSizeBytes: 50_000 });
  const { count } = layer.table;
  t.equal(layer.table.needsSums, true);
  await using rig = await makeRig();
  const path = join(rig.folder, "data");
  add(rig, layer, { path });
  await bring(rig, layer, { from: 1, to: count - 1 });
  const present = await rig.plane.sync(1);
  const sums = rig.plane.sums(1);
  t.equal(sums.length, count * 32);
  t.same(Buffer.from(sums.subarray(0, 32)), Buffer.alloc(32), "the first is unknown");
  for (let unit = 1; unit < count; unit += 1) {
    const from = layer.table.dataOffset(unit);
    const bytes = content.subarray(from, from + layer.table.dataLength(unit));
    t.equal(Buffer.from(sums.subarray(unit * 32, unit * 32 + 32)).toString("hex"), sha256(bytes));
  }
  const all = new Uint8Array(present.length).fill(0xff);
  add(rig, layer, { number: 2, path, present: all, sums });
  t.equal(rig.plane.presentCount(2), count - 1, "what has no sum is missing");
  add(rig, layer, { number: 3, path, present: all });
  t.equal(rig.plane.presentCount(3), 0, "without sums all is missing");
  const fd = openSync(path, "r+");
  const at = layer.table.dataOffset(2) + 10;
  writeSync(fd, Buffer.of(content[at]! ^ 1), 0, 1, at);
  closeSync(fd);
  const outcomes = [...(await rig.plane.verify(2, 0, count - 1))];
  t.same(outcomes.slice(0, 4), [truncated, alreadyPresent, corrupt, alreadyPresent]);
  t.same(await bring(rig, layer, { from: 0, to: 2, layer: 2 }), [stored, alreadyPresent, stored]);
  t.equal(await sumFromOutside(join(rig.mount, "2")), sha256(content));
  t.equal(rig.plane.sums(2).length, count * 32);
});

t.test("addLayer() reads windows from a file and tells a wrong one", async (t) => {
  const layer = await makeSpanLayer(gzipSync(content), { digestOf: "blob", spanSizeBytes: 100_000 });
  const { count } = layer.table;
  await using rig = await makeRig();
  const path = join(rig.folder, "windows");
  const fd = openSync(path, "w+");
  writeSync(fd, layer.windows, 0, layer.windows.length, 100);
  add(rig, layer, { windows: { fd, offset: 100, count } });
  writeSync(fd, Buffer.of(layer.windows[32_768 * 3 - 1]! ^ 1), 0, 1, 100 + 32_768 * 3 - 1);
  const expected = new Array<number>(count).fill(stored);
  expected[2] = ioError;
  t.same(await bring(rig, layer, { from: 0, to: count - 1 }), expected);
  const wrong = (windows: AddOptions["windows"]): void => {
    t.throws(() => add(rig, layer, { number: 9, windows: windows! }), { code: "ERR_INVALID_ARG_VALUE" });
  };
  wrong({ fd, offset: 101, count });
  wrong({ fd, offset: 100, count: count - 1 });
  wrong(layer.windows.subarray(1));
  wrong(new Uint8Array(0));
  t.throws(() => add(rig, layer, { number: 9, sums: new Uint8Array(1) }), { code: "ERR_INVALID_ARG_VALUE" });
  t.throws(() => add(rig, layer, { number: 9, windows: { fd: 9999, offset: 0, count } }), { code: "EBADF" });
  closeSync(fd);
});

t.test("UnitTable and plane read the first version of the table", async (t) => {
  const sample = makeGzipSample(3, 4096);
  const first = Buffer.from(sample.table.buffer);
  first.writeUInt32LE(1, 8);
  createHash("sha256")
    .update(first.subarray(0, -32))
    .digest()
    .copy(first, first.length - 32);
  const table = new UnitTable(first);
  t.match(
    { count: table.count, windows: table.windowCount, sums: table.needsSums },
    { count: 3, windows: 0 },
  );
  t.equal(table.codec(2), "gzip");
  t.equal(table.digestOf(2), "data");
  await using rig = await makeRig();
  addSample(rig, 1, { ...sample, table });
  t.same(await ingest(rig, 1, sample, { firstUnit: 0, lastUnit: 2 }), [stored, stored, stored]);
  t.same(Buffer.from(rig.plane.sums(1)), Buffer.alloc(96), "digests of the data need no sums");
  const unknown = Buffer.from(first);
  unknown.writeUInt32LE(3, 8);
  t.throws(() => new UnitTable(unknown), { code: "DATA_LOSS", reason: "unit-table-damaged" });
});
