import { open, readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import t from "tap";
import { parseDigest } from "../../src/bytes/index.js";
import type { OpenLayerEngine } from "../../src/layer/index.js";
import { layerPaths } from "../../src/layer/paths.js";
import { UnitTable } from "../../src/units/index.js";
import {
  child,
  EngineRig,
  expectedHashes,
  hashesBelow,
  requestOf,
  until,
} from "../../testing/layer/engine-rig.js";
import { sampleFiles, sampleLayer } from "../../testing/layer/sample-layer.js";

const KIB = 1024;
const sizes = [10, 300 * KIB, 0, 70 * KIB, 4096, 64 * KIB, 900 * KIB, 1, 5000, 200 * KIB];

/** Compressed bytes of all units: what a whole layer costs beside its index. */
async function unitBytes(rig: EngineRig, engine: OpenLayerEngine): Promise<number> {
  const [layer] = engine.list();
  const table = new UnitTable(await readFile(layerPaths(rig.root, layer!.digest).units));
  let sum = 0;
  for (let unit = 0; unit < table.count; unit = table.streamOf(unit).last + 1) sum += table.blobLength(unit);
  return sum;
}

for (const mount of ["erofs", "fuse-tree"] as const) {
  t.test(`mountPoint() shows the layer's files (${mount})`, async (t) => {
    await using rig = await EngineRig.make();
    const layer = sampleLayer(sampleFiles("shown", sizes));
    const { request, source } = requestOf(layer);
    const engine = await rig.open({ mount });
    t.equal(engine.rung.kind, mount);
    await engine.ensure(request, {});
    const indexBytes = source.fetchedBytes;
    t.ok(engine.has(request.digest));
    t.same(await engine.rootOwner(request.digest), { uid: 0, gid: 0 });
    t.equal(engine.status(request.digest).mountKind, "none");
    const folder = await engine.mountPoint(request.digest);
    t.equal(await engine.mountPoint(request.digest), folder);
    t.equal(engine.status(request.digest).mountKind, mount);
    const listing = await child("find", folder, "-printf", "%P %y %m %s\\n");
    t.match(listing.stdout, /folder-0\/file-006 f 644 921600/);
    t.match(listing.stdout, /folder-1 d 755/);
    t.equal(source.fetchedBytes, indexBytes, "names and attributes cost no bytes");

    t.same(await hashesBelow(folder), expectedHashes(layer.files));
    const status = engine.status(request.digest);
    t.ok(status.complete);
    t.equal(status.cachedBytes, status.dataBytes);
    t.equal(status.cachedUnits, status.units);
    t.equal(status.fetchedBytes, source.fetchedBytes);
    t.equal(status.lastError, undefined);
    const payload = await unitBytes(rig, engine);
    const ratio = (source.fetchedBytes - indexBytes) / payload;
    t.ok(ratio >= 1 && ratio < 1.02, `each byte was fetched once: ${ratio}`);

    const usage = await engine.usage(request.digest);
    t.ok(usage.inodes >= 6, "the folder, its files, perhaps a bitmap that is being written");
    t.ok(usage.bytes > status.dataBytes && usage.bytes < status.dataBytes * 1.5);
    await engine.remove(request.digest);
    await engine.remove(request.digest);
    t.notOk(engine.has(request.digest));
    t.same(await readdir(join(rig.root, "layers", "v1")), []);
    t.same(await readdir(join(rig.state, "layers")), []);
    await t.rejects(engine.mountPoint(request.digest), { code: "NOT_FOUND" });
  });

  t.test(`many readers of one layer fetch its bytes once (${mount})`, async (t) => {
    await using rig = await EngineRig.make();
    const layer = sampleLayer(sampleFiles("readers", sizes));
    const { request, source } = requestOf(layer);
    source.pieceDelayMs = 1;
    const engine = await rig.open({ mount, readaheadMaxBytes: 1024 * KIB, backgroundFill: true });
    await engine.ensure(request, {});
    const indexBytes = source.fetchedBytes;
    const folder = await engine.mountPoint(request.digest);
    const seen = await Promise.all(Array.from({ length: 20 }, () => hashesBelow(folder)));
    for (const hashes of seen) t.same(hashes, expectedHashes(layer.files));
    const payload = await unitBytes(rig, engine);
    const ratio = (source.fetchedBytes - indexBytes) / payload;
    t.ok(ratio >= 1 && ratio < 1.03, `each byte was fetched once: ${ratio}`);
    t.comment(`20 readers, ${mount}: ratio ${ratio}, ${source.requests.length} requests`);
  });

  t.test(`a restart needs no source for what is here (${mount})`, async (t) => {
    await using rig = await EngineRig.make();
    const layer = sampleLayer(sampleFiles("restart", sizes));
    const { request, source } = requestOf(layer);
    const first = await rig.open({ mount });
    await first.ensure(request, {});
    const before = await first.mountPoint(request.digest);
    const read = join("folder-0", "file-006");
    const expected = expectedHashes(layer.files);
    t.match((await child("sha256sum", join(before, read))).stdout, expected.get(read));
    const cached = first.status(request.digest).cachedUnits;
    t.ok(cached > 0 && cached < first.status(request.digest).units);
    await first.close();
    await t.rejects(first.mountPoint(request.digest), { code: "UNAVAILABLE" });

    const second = await rig.open({ mount, demandDeadlineMs: 300 });
    // Readahead may have stored more between the question and the end.
    t.ok(second.status(request.digest).cachedUnits >= cached, "the bitmap was written");
    const after = await second.mountPoint(request.digest);
    t.match((await child("sha256sum", join(after, read))).stdout, expected.get(read));
    t.equal(second.status(request.digest).fetchedBytes, 0);
    const dead = await child("cat", join(after, "folder-0", "file-009"));
    t.match(dead.stderr, /Input\/output error/, "a dead source is EIO at the deadline");
    t.match(second.status(request.digest).lastError, /it is dead/);
    rig.sources.set(request.digest, source);
    await until(async () => (await child("cat", join(after, "folder-0", "file-009"))).code === 0);
    t.same(await hashesBelow(after), expected, "the rest comes when the source is back");
  });
}

t.test("a layer whose TOC lies in another image is lazy, also after a restart without it", async (t) => {
  await using rig = await EngineRig.make();
  const layer = sampleLayer(sampleFiles("external", sizes), { hasExternalToc: true });
  const { request, source } = requestOf(layer);
  const first = await rig.open();
  const without = { ...request, index: { ...request.index, loadExternalToc: undefined } };
  await t.rejects(first.ensure(without, {}), { code: "FAILED_PRECONDITION", reason: "toc-external" });
  const other = sampleLayer(sampleFiles("another", sizes), { hasExternalToc: true });
  const foreign = { ...request, index: { ...request.index, loadExternalToc: async () => other.tocBlob! } };
  await t.rejects(first.ensure(foreign, {}), { code: "DATA_LOSS", reason: "toc-digest-mismatch" });
  t.notOk(first.has(request.digest), "the TOC of another layer is not taken");
  await first.ensure(request, {});
  const before = source.fetchedBytes;
  t.ok(first.status(request.digest).fetchedBytes >= layer.tocBlob!.length, "the TOC counts as fetched");
  t.same(await hashesBelow(await first.mountPoint(request.digest)), expectedHashes(layer.files));
  t.ok(source.fetchedBytes > before);
  await first.close();
  const second = await rig.open();
  t.same(await hashesBelow(await second.mountPoint(request.digest)), expectedHashes(layer.files));
});

t.test("a read waits while the source is down and gets the right bytes after", async (t) => {
  await using rig = await EngineRig.make();
  const layer = sampleLayer(sampleFiles("down", sizes));
  const { request, source } = requestOf(layer);
  const engine = await rig.open();
  await engine.ensure(request, {});
  const folder = await engine.mountPoint(request.digest);
  source.isDown = true;
  const reading = hashesBelow(folder);
  await until(() => engine.status(request.digest).lastError !== undefined);
  source.isDown = false;
  t.same(await reading, expectedHashes(layer.files));
});

t.test("wrong bytes of the source are never served", async (t) => {
  await using rig = await EngineRig.make();
  const layer = sampleLayer(sampleFiles("wrong", sizes));
  const { request, source } = requestOf(layer);
  const engine = await rig.open();
  await engine.ensure(request, {});
  const folder = await engine.mountPoint(request.digest);
  source.wrong = { offset: 200 * KIB, length: 200 * KIB, times: 2 };
  t.same(await hashesBelow(folder), expectedHashes(layer.files));
  t.ok(source.distrusted.length > 0);

  const again = sampleLayer(sampleFiles("wrong for ever", sizes));
  const other = requestOf(again);
  await engine.ensure(other.request, {});
  const otherFolder = await engine.mountPoint(other.request.digest);
  other.source.wrong = { offset: 0, length: other.source.size, times: Number.POSITIVE_INFINITY };
  const read = await child("cat", join(otherFolder, "folder-0", "file-006"));
  t.match(read.stderr, /Input\/output error/);
  t.equal(read.stdout, "");
  t.match(engine.status(other.request.digest).lastError, /do not have the digest/);
});

for (const mount of ["erofs", "fuse-tree"] as const) {
  t.test(`a data file that was damaged at rest is never served (${mount})`, async (t) => {
    await using rig = await EngineRig.make();
    const layer = sampleLayer(sampleFiles("damaged", sizes));
    const { request, source } = requestOf(layer);
    const first = await rig.open({ mount });
    await first.ensure(request, {});
    t.same(await hashesBelow(await first.mountPoint(request.digest)), expectedHashes(layer.files));
    await first.close();
    const { data, units } = layerPaths(rig.root, request.digest);
    const table = new UnitTable(await readFile(units));
    const file = await open(data, "r+");
    for (const unit of [0, 2, table.count - 1])
      await file.write(Buffer.from("x"), 0, 1, table.dataOffset(unit));
    await file.sync();
    await file.close();

    rig.sources.set(request.digest, source);
    const second = await rig.open({ mount });
    const folder = await second.mountPoint(request.digest);
    t.same(await hashesBelow(folder), expectedHashes(layer.files));
    await until(() => second.status(request.digest).complete);
    t.ok(second.status(request.digest).fetchedBytes > 0, "the damaged units were fetched again");
    t.same(await hashesBelow(await second.mountPoint(request.digest)), expectedHashes(layer.files));
  });
}

t.test("a complete layer is mounted on its local data file", async (t) => {
  await using rig = await EngineRig.make();
  const layer = sampleLayer(sampleFiles("complete", sizes), { prefetched: 4 });
  const { request, source } = requestOf(layer);
  const first = await rig.open({ mount: "erofs", backgroundFill: true });
  await first.ensure(request, {});
  await until(() => first.status(request.digest).cachedUnits >= 4);
  const prefetch = source.requests.find(({ offset }) => offset < layer.landmark!)!;
  t.ok(prefetch.offset + prefetch.length <= layer.landmark!, "the landmark's range was fetched unasked");
  await until(() => first.status(request.digest).complete);
  let local = "";
  await until(async () => {
    local = await first.mountPoint(request.digest);
    return local.endsWith("c");
  });
  const reads = first.plane.stats().reads;
  t.same(await hashesBelow(local), expectedHashes(layer.files));
  t.equal(first.plane.stats().reads, reads, "no read passed through FUSE");
  await first.close();
  t.same(await hashesBelow(local), expectedHashes(layer.files), "it needs no server");

  const second = await rig.open({ mount: "erofs" });
  t.same(await hashesBelow(local), expectedHashes(layer.files), "a restart leaves it in place");
  await until(async () => (await second.mountPoint(request.digest)) === local);
  t.equal(second.status(request.digest).fetchedBytes, 0);
  await second.remove(request.digest);
  t.same(await readdir(join(rig.state, "layers")), []);
});

t.test("a reader that is killed leaves nothing behind", async (t) => {
  await using rig = await EngineRig.make();
  const layer = sampleLayer(sampleFiles("killed", sizes));
  const { request, source } = requestOf(layer);
  const engine = await rig.open();
  await engine.ensure(request, {});
  const folder = await engine.mountPoint(request.digest);
  source.hold();
  const reader = rig.spawn("cat", [join(folder, "folder-0", "file-006")]);
  await until(() => engine.figures.waitingReads > 0 && engine.figures.demandRequests > 0);
  const exited = new Promise((resolve) => reader.once("exit", resolve));
  reader.kill("SIGKILL");
  await exited;
  await until(() => engine.figures.waitingReads === 0 && engine.figures.demandRequests === 0);
  source.release();
  t.same(await hashesBelow(folder), expectedHashes(layer.files));
});

t.test("ensure() makes a layer once, and refuses what can't be lazy", async (t) => {
  await using rig = await EngineRig.make();
  const layer = sampleLayer(sampleFiles("once", sizes));
  const { request, source } = requestOf(layer);
  const engine = await rig.open();
  await t.rejects(engine.ensure({ ...request, index: undefined }, {}), {
    code: "FAILED_PRECONDITION",
    reason: "no-index",
  });
  const wrongToc = parseDigest(`sha256:${"0".repeat(64)}`);
  await t.rejects(engine.ensure({ ...request, index: { ...request.index, tocDigest: wrongToc } }, {}), {
    code: "DATA_LOSS",
    reason: "toc-digest-mismatch",
  });
  t.same(source.distrusted, [{ offset: 0, length: source.size }], "another mirror was asked");
  t.notOk(engine.has(request.digest));
  const left = new AbortController();
  left.abort(new Error("left"));
  await t.rejects(engine.ensure(request, { signal: left.signal }), /left/);
  source.requests.length = 0;
  await Promise.all(Array.from({ length: 8 }, () => engine.ensure(request, {})));
  t.equal(source.requests.length, 1, "one read of the index");
  await engine.ensure(request, {});
  t.equal(source.requests.length, 1);
  t.equal(engine.list().length, 1);
  t.throws(() => engine.status(wrongToc), { code: "NOT_FOUND" });
});

t.test("openLayerEngine() leaves out a damaged layer, and ensure() makes it anew", async (t) => {
  await using rig = await EngineRig.make();
  const layer = sampleLayer(sampleFiles("left out", sizes));
  const { request } = requestOf(layer);
  const first = await rig.open();
  await first.ensure(request, {});
  await first.close();
  const { units, folder } = layerPaths(rig.root, request.digest);
  const table = await open(units, "r+");
  await table.write(Buffer.from("x"), 0, 1, 100);
  await table.close();
  const second = await rig.open();
  t.notOk(second.has(request.digest));
  t.ok((await stat(folder)).isDirectory(), "nothing is deleted at a start");
  await second.ensure(request, {});
  t.same(await hashesBelow(await second.mountPoint(request.digest)), expectedHashes(layer.files));
});
