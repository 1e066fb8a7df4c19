import { createHash } from "node:crypto";
import { open, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import t, { type Test } from "tap";
import { type Digest, sha256 } from "../../src/bytes/index.js";
import { LazuliError } from "../../src/errors/index.js";
import { encodeFineTable, parseFineTable } from "../../src/fine/index.js";
import { loadBinding } from "../../src/fuse/index.js";
import type { LayerRequest } from "../../src/layer/index.js";
import { layerPaths } from "../../src/layer/paths.js";
import { buildFine } from "../../src/transfer/build-fine.js";
import { child, EngineRig, hashesBelow, until } from "../../testing/layer/engine-rig.js";
import { MemorySource } from "../../testing/layer/memory-source.js";
import { rawTar } from "../../testing/tar/index.js";
import { memoryBlob, prose } from "../hostile/fine-case.js";

t.setTimeout(240_000);

const FILES = 6;
const FILE_BYTES = 700_000;
const MEDIA_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip";
const LEAF_DIGEST_BYTES = 32;

const contents = Array.from({ length: FILES }, (_, index) => prose(FILE_BYTES, index + 1));
const tar = Buffer.from(rawTar(...contents.map((content, index) => ({ name: `file${index}`, content }))));
const blob = gzipSync(tar, { level: 6, memLevel: 5 });
const binding = loadBinding();
const built = await buildFine({
  blob: memoryBlob(blob),
  diffId: sha256(tar),
  makeIndexer: (options) => new binding.StreamIndexer(options),
  compress: async (bytes, level) => await binding.compressFrame(bytes, level),
});
const layer = sha256(blob);
const parsed = parseFineTable({ table: built.table, layer, blobSize: blob.length });
const wanted = new Map(
  contents.map((content, index) => [`file${index}`, createHash("sha256").update(content).digest("hex")]),
);

interface Case {
  readonly request: LayerRequest;
  readonly data: MemorySource;
  readonly windows: MemorySource;
}

/** The layer with its index, at an engine's rig. */
function caseOf(rig: EngineRig, table = built.table, diffId: Digest = sha256(tar)): Case {
  const data = new MemorySource(blob);
  const windows = new MemorySource(built.windows);
  rig.sources.set(data.digest, data);
  rig.sources.set(windows.digest, windows);
  const load = async () => ({ table, digest: sha256(table) });
  const request: LayerRequest = {
    digest: layer,
    mediaType: MEDIA_TYPE,
    index: { kind: "fine", load, diffId, otherwise: undefined },
    openSource: async () => data,
    origin: { reference: "memory.example/fine:1", size: blob.length },
  };
  return { request, data, windows };
}

/** What reads 4 KiB of a file without the kernel's readahead. */
const readScript = [
  "import hashlib, os, sys",
  "file = os.open(sys.argv[1], os.O_RDONLY)",
  "os.posix_fadvise(file, 0, 0, os.POSIX_FADV_RANDOM)",
  "print(hashlib.sha256(os.pread(file, 4096, int(sys.argv[2]))).hexdigest())",
].join("\n");

/** Reads 4 KiB at a place of the archive, by a child. */
async function readPage(t: Test, mount: string, dataOffset: number): Promise<void> {
  const stride = FILE_BYTES + ((512 - (FILE_BYTES % 512)) % 512) + 512;
  const index = Math.floor(dataOffset / stride);
  const at = Math.floor((dataOffset - index * stride) / 4096) * 4096;
  const { stdout } = await child("python3", "-c", readScript, join(mount, `file${index}`), String(at));
  const page = contents[index]!.subarray(at, at + 4096);
  t.equal(stdout.trim(), createHash("sha256").update(page).digest("hex"), `the bytes at ${dataOffset}`);
}

const middleOf = (span: number): number => {
  const { dataOffset, dataLength } = parsed.spans[span]!;
  return dataOffset + dataLength / 2;
};

t.test(
  "buildFine() makes the same index of the same layer, with a window for each span but the first",
  async (t) => {
    const again = await buildFine({
      blob: memoryBlob(blob),
      diffId: sha256(tar),
      makeIndexer: (options) => new binding.StreamIndexer(options),
      compress: async (bytes, level) => await binding.compressFrame(bytes, level),
    });
    t.same([sha256(again.table), sha256(again.windows)], [sha256(built.table), sha256(built.windows)]);
    t.ok(parsed.spans.length >= 4, `${parsed.spans.length} spans`);
    t.equal(parsed.spans[0]!.window.length, 0);
    t.ok(parsed.spans.slice(1).every(({ window }) => window.length > 0));
    const spanBytes = Math.max(...parsed.spans.map(({ dataLength }) => dataLength));
    t.ok(spanBytes < 1_200_000, `the longest has ${spanBytes} bytes`);
  },
);

t.test(
  "mountPoint() shows all files, with windows brought only for the spans that are decoded",
  async (t) => {
    await using rig = await EngineRig.make();
    const engine = await rig.open();
    const { request, data, windows } = caseOf(rig);
    await engine.ensure(request, {});
    t.equal(engine.status(layer).format, "fine");
    t.equal(data.fetchedBytes + windows.fetchedBytes, 0, "the index is all that mounting costs");
    const mount = await engine.mountPoint(layer);
    await readPage(t, mount, middleOf(2));
    const { window } = parsed.spans[2]!;
    t.same(
      windows.requests.map(({ offset, length }) => ({ offset, length })),
      [{ offset: window.offset, length: window.length }],
      "one window was fetched",
    );
    await until(() => data.requests.every(({ isDone }) => isDone));
    const { blobOffset, blobLength } = parsed.spans[2]!;
    t.equal(data.fetchedBytes, blobLength, "and one span");
    t.equal(data.requests[0]!.offset, blobOffset);
    t.same(await hashesBelow(mount), wanted);
    await until(() => engine.status(layer).complete);
  },
);

t.test("a read is answered before its span has come", async (t) => {
  await using rig = await EngineRig.make();
  const engine = await rig.open();
  const { request, data } = caseOf(rig);
  await engine.ensure(request, {});
  const mount = await engine.mountPoint(layer);
  data.hold();
  const { dataOffset, blobLength } = parsed.spans[1]!;
  const read = readPage(t, mount, dataOffset + 8192);
  await until(() => data.requests.length > 0);
  const [seen] = data.requests;
  while (seen!.sent < blobLength / 2) {
    data.release(1);
    await sleep(1);
  }
  await read;
  t.notOk(seen!.isDone, "half of the span is still to come");
  t.ok(engine.status(layer).cachedUnits > 0);
  data.release();
  await until(() => seen!.isDone);
});

t.test(
  "windows that are here are not fetched again after a restart, and those of neighbours come from the data",
  async (t) => {
    await using rig = await EngineRig.make();
    const first = caseOf(rig);
    const engine = await rig.open();
    await engine.ensure(first.request, {});
    await readPage(t, await engine.mountPoint(layer), middleOf(2));
    await engine.close();
    await rm(layerPaths(rig.root, layer).bitmap);
    const { data, windows } = caseOf(rig);
    const next = await rig.open();
    const mount = await next.mountPoint(layer);
    await readPage(t, mount, middleOf(2));
    t.equal(windows.requests.length, 0, "the window was in its file");
    t.ok(data.requests.length > 0);
    windows.isDown = true;
    await until(
      () => next.status(layer).cachedUnits >= Math.ceil(parsed.spans[2]!.dataLength / parsed.leafSize),
    );
    await readPage(t, mount, middleOf(3));
    t.equal(windows.fetchedBytes, 0, "the next one stood in the data");
  },
);

t.test("a window that comes wrong, or is damaged on disk, is fetched anew", async (t) => {
  await using rig = await EngineRig.make();
  const { request, windows } = caseOf(rig);
  const engine = await rig.open();
  await engine.ensure(request, {});
  const mount = await engine.mountPoint(layer);
  const { offset, length } = parsed.spans[2]!.window;
  windows.wrong = { offset, length: 1, times: 1 };
  await readPage(t, mount, middleOf(2));
  t.same(windows.distrusted, [{ offset, length }]);
  t.equal(windows.requests.length, 2);
  await engine.close();
  const { bitmap, windows: path } = layerPaths(rig.root, layer);
  await rm(bitmap);
  const bytes = await readFile(path);
  await writeFile(path, bytes.fill(7));
  const again = caseOf(rig);
  const next = await rig.open();
  await readPage(t, await next.mountPoint(layer), middleOf(2));
  t.equal(again.windows.requests.length, 1);
});

t.test("a layer whose index has another tree or other digests is refused", async (t) => {
  for (const lie of ["digest", "archive"] as const) {
    await using rig = await EngineRig.make();
    const leaves = Buffer.from(parsed.leaves);
    if (lie === "digest") leaves[LEAF_DIGEST_BYTES]! ^= 1;
    const table = encodeFineTable({ ...parsed, leaves });
    const { request } = caseOf(rig, table, lie === "archive" ? sha256(blob) : sha256(tar));
    const engine = await rig.open();
    await engine.ensure(request, {});
    const mount = await engine.mountPoint(layer);
    const seen = await hashesBelow(mount);
    if (lie === "digest") {
      t.notOk(seen.has("file0"), "bytes that don't verify are not served");
      continue;
    }
    await until(() => engine.status(layer).lastError !== undefined);
    const refusal = await engine
      .mountPoint(layer)
      .catch((thrown: unknown) => LazuliError.from(thrown).reason);
    t.equal(refusal, "diff-id-mismatch");
  }
});

t.test("a table that is damaged on disk is told", async (t) => {
  await using rig = await EngineRig.make();
  const { request } = caseOf(rig);
  const engine = await rig.open({ demandDeadlineMs: 1_000 });
  await engine.ensure(request, {});
  const file = await open(layerPaths(rig.root, layer).table, "r+");
  await file.write(Buffer.from("other"), 0, 5, 200);
  await file.close();
  const mount = await engine.mountPoint(layer);
  const { code } = await child("cat", join(mount, "file3"));
  t.not(code, 0);
  t.match(engine.status(layer).lastError, /table: it is damaged/);
});
