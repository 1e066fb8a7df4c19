import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { bytesOfText, sha256 } from "../../src/bytes/index.js";
import { BitSet } from "../../src/layer/bit-set.js";
import { decodeBitmap, encodeBitmap } from "../../src/layer/bitmap-file.js";
import { BitmapFlusher } from "../../src/layer/bitmap-flusher.js";
import {
  createLayerFolder,
  deleteLayerFolder,
  folderUsage,
  listLayerFolders,
  openLayerFolder,
} from "../../src/layer/layer-folder.js";
import { decodeRecord, encodeRecord, type LayerRecord } from "../../src/layer/layer-record.js";
import {
  FLUSH_LONGEST_MS,
  FLUSH_QUIET_MS,
  FLUSH_UNITS,
  PREFETCH_RANGES_MAX,
  RECORD_BYTES_MAX,
} from "../../src/layer/limits.js";
import { parseMountInfo } from "../../src/layer/mount-table.js";
import { layerPaths, layersFolder } from "../../src/layer/paths.js";
import { FakeClock } from "../../testing/layer/fake-clock.js";
import { rawUnits } from "../../testing/layer/fake-plane.js";

const { blob, units } = rawUnits(20, 4096);
const meta = Buffer.from(bytesOfText("meta"));
const record: LayerRecord = {
  number: 7,
  digest: sha256(blob),
  format: "estargz",
  mediaType: "application/vnd.oci.image.layer.v1.tar+gzip",
  indexDigest: sha256(meta),
  diffId: undefined,
  isDecoded: false,
  blobSize: blob.length,
  origin: { reference: "registry.example/library/python:3.12", size: blob.length },
  prefetch: { kind: "range", end: 4096 },
  rootOwner: { uid: 0, gid: 1000 },
  metaSha256: sha256(meta),
};

t.test("decodeBitmap() takes only a whole bitmap of the same units", async (t) => {
  const bits = new BitSet(20);
  bits.set(3, true);
  bits.set(19, true);
  const facts = { units: 20, tableSha256: Buffer.alloc(32, 5) };
  const file = encodeBitmap(bits.bytes, facts);
  const read = decodeBitmap(file, facts);
  t.same(read?.bytes, bits.bytes);
  t.equal(decodeBitmap(file, { units: 21, tableSha256: facts.tableSha256 }), undefined);
  t.equal(decodeBitmap(file, { units: 20, tableSha256: Buffer.alloc(32, 6) }), undefined);
  t.equal(decodeBitmap(file.subarray(0, 80), facts), undefined);
  for (let at = 0; at < file.length; at += 1) {
    const flipped = Buffer.from(file);
    flipped[at]! ^= 1;
    if (decodeBitmap(flipped, facts) !== undefined) t.fail(`a flipped bit at ${at} is not seen`);
  }
});

t.test("decodeRecord() reads what encodeRecord() wrote and refuses anything else", async (t) => {
  t.same(decodeRecord(encodeRecord(record)), record);
  const unknown = {
    ...record,
    origin: { ...record.origin, size: undefined },
    prefetch: { kind: "unknown" as const },
  };
  t.same(decodeRecord(encodeRecord(unknown)), unknown);
  const range = { first: 2 ** 32 - 2, last: 2 ** 32 - 1 };
  const ranges = new Array<typeof range>(PREFETCH_RANGES_MAX).fill(range);
  const listed = { ...record, isDecoded: true, prefetch: { kind: "units" as const, ranges } };
  t.same(decodeRecord(encodeRecord(listed)), listed);
  t.ok(encodeRecord(listed).length < RECORD_BYTES_MAX - 8192, "and there is room for the rest");
  for (const [name, value] of [
    ["number", 0],
    ["digest", "sha256:zz"],
    ["blobSize", "1"],
    ["origin", null],
    ["prefetch", { kind: "range", end: -1 }],
    ["prefetch", { kind: "units" }],
    ["prefetch", { kind: "units", ranges: [{ first: 3, last: 2 }] }],
    ["version", 1],
  ] as const) {
    const text = JSON.stringify({ ...JSON.parse(encodeRecord(record).toString()), [name]: value });
    t.throws(
      () => decodeRecord(Buffer.from(text)),
      { code: "DATA_LOSS", reason: "layer-record-damaged" },
      name,
    );
  }
  t.throws(() => decodeRecord(Buffer.from("{")), { code: "DATA_LOSS" });
});

t.test("a layer's folder is whole, found again, measured and deleted", async (t) => {
  const root = await mkdtemp(join(tmpdir(), "lazuli-folder-"));
  t.teardown(() => rm(root, { recursive: true, force: true }));
  t.same(await listLayerFolders(root), []);
  await createLayerFolder({
    root,
    digest: record.digest,
    make: async () => ({ record, units, meta, windows: Buffer.alloc(0), data: "nothing" as const }),
  });
  await writeFile(join(layersFolder(root), "new-half"), "");
  const { folder, bitmap, data } = layerPaths(root, record.digest);
  t.same(await listLayerFolders(root), [folder], "half made folders are deleted");

  const files = await openLayerFolder(folder);
  t.same(files.record, record);
  t.equal(files.units.count, 20);
  t.equal(files.present.firstAbsent(0, 19), 0, "nothing is present");
  await files.data.close();
  const usage = await folderUsage(folder);
  t.equal(usage.inodes, 6);
  t.ok(usage.bytes < blob.length, "the sparse data file counts what it holds");

  const bits = new BitSet(20);
  bits.set(2, true);
  const tableSha256 = units.buffer.subarray(units.buffer.length - 32);
  await writeFile(bitmap, encodeBitmap(bits.bytes, { units: 20, tableSha256 }));
  const again = await openLayerFolder(folder);
  t.ok(again.present.has(2));
  await again.data.close();
  await rm(data);
  const withoutData = await openLayerFolder(folder);
  t.notOk(withoutData.present.has(2), "without a data file nothing is present");
  await withoutData.data.close();
  await writeFile(bitmap, (await readFile(bitmap)).fill(0, 64, 65));
  const damaged = await openLayerFolder(folder);
  t.equal(damaged.present.firstAbsent(0, 19), 0, "a damaged bitmap says nothing");
  await damaged.data.close();

  await deleteLayerFolder(root, record.digest);
  await deleteLayerFolder(root, record.digest);
  t.same(await listLayerFolders(root), []);
});

t.test("changed() has the bitmap written after quiet, after many units, and in the end", async (t) => {
  const clock = new FakeClock();
  let writes = 0;
  let isBroken = false;
  const write = async (): Promise<void> => {
    if (isBroken) throw new Error("disk full");
    writes += 1;
  };
  const flusher = new BitmapFlusher({ clock, subject: "layer", write });
  flusher.changed(1);
  await clock.advance(FLUSH_QUIET_MS - 1);
  t.equal(writes, 0);
  await clock.advance(1);
  t.equal(writes, 1, "after quiet");
  flusher.changed(FLUSH_UNITS);
  await clock.advance(0);
  t.equal(writes, 2, "after many units");
  for (let waited = 0; waited < FLUSH_LONGEST_MS; waited += FLUSH_QUIET_MS / 2) {
    flusher.changed(1);
    await clock.advance(FLUSH_QUIET_MS / 2);
  }
  t.equal(writes, 3, "also when it is never quiet");
  isBroken = true;
  flusher.changed(1);
  await clock.advance(FLUSH_QUIET_MS);
  isBroken = false;
  await clock.advance(FLUSH_LONGEST_MS);
  t.equal(writes, 4, "a write that failed is made again");
  flusher.changed(1);
  await flusher.close();
  t.equal(writes, 5, "close() writes at once");
});

t.test("parseMountInfo() reads places with blanks and optional fields", async (t) => {
  const text = [
    "36 35 98:0 / /mnt/a\\040b rw,noatime shared:1 master:2 - ext3 /dev/ro\\134ot rw,errors=continue",
    "37 35 0:40 / /run/x rw - fuse.lazuli lazuli rw",
    "",
  ].join("\n");
  t.same(parseMountInfo(text), [
    { device: "98:0", target: "/mnt/a b", type: "ext3", source: "/dev/ro\\ot" },
    { device: "0:40", target: "/run/x", type: "fuse.lazuli", source: "lazuli" },
  ]);
});
