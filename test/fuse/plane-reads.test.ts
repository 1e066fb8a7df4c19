import { execFile, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { join } from "node:path";
import { promisify } from "node:util";
import t from "tap";
import { delay } from "../../src/async/index.js";
import { refusalReasons, unitOutcomes } from "../../src/fuse/index.js";
import {
  addSample,
  allPresent,
  dd,
  ingest,
  makeGzipSample,
  makeRig,
  makeSample,
  sha256,
  startDd,
  sumFromOutside,
} from "./rig.js";

const run = promisify(execFile);
const EIO_TEXT = "Input/output error";

t.test("read() waits for its units, and gives the right bytes once they are ingested", async (t) => {
  await using rig = await makeRig();
  const sample = makeGzipSample(8, 192 * 1024);
  addSample(rig, 7, sample);
  const wanted = new Set<number>();
  rig.onMiss = ({ firstUnit, lastUnit }) => {
    for (let unit = firstUnit; unit <= lastUnit; unit += 1) {
      if (wanted.has(unit)) continue;
      wanted.add(unit);
      void ingest(rig, 7, sample, { firstUnit: unit, lastUnit: unit });
    }
  };
  t.equal(await sumFromOutside(join(rig.mount, "7")), sha256(sample.data));
  t.equal(wanted.size, 8, "each unit was asked for");
  const stats = rig.plane.stats();
  t.equal(stats.unitsStored, 8);
  t.equal(stats.waitingReads, 0);
  t.ok(stats.misses > 0);
  t.equal(rig.plane.presentCount(7), 8);
});

t.test("read() of units that are all here needs no JavaScript", async (t) => {
  await using rig = await makeRig();
  const sample = makeGzipSample(6, 256 * 1024);
  addSample(rig, 1, sample);
  t.same(await ingest(rig, 1, sample, { firstUnit: 0, lastUnit: 5 }), Array(6).fill(unitOutcomes.stored));
  const path = join(rig.mount, "1");
  const child = startDd(path, { offset: 0, length: sample.data.length });
  child.stdout?.pause();
  await once(child, "spawn");
  const before = process.hrtime.bigint();
  while (process.hrtime.bigint() - before < 10_000_000_000n) {
    if (rig.plane.stats().bytesServed >= sample.data.length) break;
  }
  t.ok(rig.plane.stats().bytesServed >= sample.data.length, "all was served while the JS thread was busy");
  child.kill("SIGKILL");
  await once(child, "exit");
  t.equal(await sumFromOutside(path), sha256(sample.data));
  t.same(rig.misses, []);
});

t.test("read() gives zeros between the units and ends with the file", async (t) => {
  await using rig = await makeRig();
  const content = randomBytes(10_000);
  const sample = makeSample([{ codec: "raw", content, units: [[0, 10_000, 4096]] }], 40_000);
  addSample(rig, 1, sample);
  await ingest(rig, 1, sample, { firstUnit: 0, lastUnit: 0 });
  const path = join(rig.mount, "1");
  t.equal(await sumFromOutside(path), sha256(sample.data));
  const tail = await dd(path, { offset: 13_000, length: 1024 * 1024, direct: true });
  t.ok(tail.bytes.equals(sample.data.subarray(13_000)));
});

t.test("failReads() ends these reads with the errno, and no others of the same units", async (t) => {
  await using rig = await makeRig();
  const sample = makeGzipSample(4, 64 * 1024);
  addSample(rig, 1, sample);
  const path = join(rig.mount, "1");
  const first = dd(path, { offset: 0, length: 4096, direct: true });
  await rig.until(() => rig.misses.length === 1);
  const second = dd(path, { offset: 8192, length: 4096, direct: true });
  await rig.until(() => rig.misses.length === 2);
  const { read } = rig.misses[0]!;
  t.throws(() => rig.plane.failReads([5 as unknown as bigint], 5), { message: /bigint/ });
  t.throws(() => rig.plane.failReads([-1n], 5), { message: /bigint/ });
  rig.plane.failReads([read, 1_000_000n], 5);
  const failed = await first;
  t.equal(failed.code, 1);
  t.match(failed.message, EIO_TEXT);
  t.equal(rig.plane.stats().waitingReads, 1);
  rig.plane.failReads([read], 5);
  await ingest(rig, 1, sample, { firstUnit: 0, lastUnit: 0 });
  t.ok((await second).bytes.equals(sample.data.subarray(8192, 8192 + 4096)));
});

t.test("onInterrupt() names the read of a process that was killed", async (t) => {
  await using rig = await makeRig();
  const sample = makeGzipSample(2, 64 * 1024);
  addSample(rig, 1, sample);
  const child = startDd(join(rig.mount, "1"), { offset: 0, length: 4096, direct: true });
  await rig.until(() => rig.misses.length === 1);
  child.kill("SIGKILL");
  await rig.until(() => rig.interrupts.length === 1);
  t.same(rig.interrupts, [rig.misses[0]?.read]);
  await once(child, "exit");
  t.equal(rig.plane.stats().waitingReads, 0);
});

t.test("a read outlives signals that its process handles", async (t) => {
  await using rig = await makeRig();
  const sample = makeGzipSample(1, 64 * 1024);
  addSample(rig, 1, sample);
  const script = `$SIG{ALRM} = sub {}; ualarm(5000, 5000);
    open(my $file, "<", $ARGV[0]) or die "open: $!"; binmode $file;
    my $got = sysread($file, my $bytes, 4096); defined $got or die "read: $!"; ualarm(0); syswrite(STDOUT, $bytes);`;
  const child = spawn("perl", ["-MTime::HiRes=ualarm", "-e", script, join(rig.mount, "1")]);
  const pieces: Buffer[] = [];
  child.stdout.on("data", (bytes: Buffer) => pieces.push(bytes));
  await rig.until(() => rig.misses.length > 0);
  await delay(100);
  t.same(rig.interrupts, [], "the read goes on waiting");
  await ingest(rig, 1, sample, { firstUnit: 0, lastUnit: 0 });
  t.same(await once(child, "close"), [0, null]);
  t.ok(Buffer.concat(pieces).equals(sample.data.subarray(0, 4096)));
});

t.test("read() beyond waitingReadsMax fails at once", async (t) => {
  await using rig = await makeRig({ waitingReadsMax: 1 });
  const sample = makeGzipSample(3, 64 * 1024);
  addSample(rig, 1, sample);
  const path = join(rig.mount, "1");
  const first = dd(path, { offset: 0, length: 4096, direct: true });
  await rig.until(() => rig.misses.length === 1);
  const second = await dd(path, { offset: 64 * 1024, length: 4096, direct: true });
  t.match(second.message, EIO_TEXT);
  t.equal(rig.plane.stats().failedReads, 1);
  await rig.until(() => rig.refused.length > 0);
  t.same(rig.refused, [{ layer: 1, reads: 1, reason: refusalReasons.tooManyWaiting }]);
  await ingest(rig, 1, sample, { firstUnit: 0, lastUnit: 0 });
  t.ok((await first).bytes.equals(sample.data.subarray(0, 4096)));
});

t.test("removeLayer() ends its waiting reads with EIO and makes its name unknown", async (t) => {
  await using rig = await makeRig();
  const sample = makeGzipSample(1, 64 * 1024);
  addSample(rig, 1, sample);
  addSample(rig, 2, sample);
  const waiting = dd(join(rig.mount, "1"), { offset: 0, length: 4096, direct: true });
  await rig.until(() => rig.misses.length === 1);
  rig.plane.removeLayer(1);
  t.match((await waiting).message, EIO_TEXT);
  t.throws(() => rig.plane.presence(1), { code: "ERR_OUT_OF_RANGE" });
  await ingest(rig, 2, sample, { firstUnit: 0, lastUnit: 0 });
  t.equal(await sumFromOutside(join(rig.mount, "2")), sha256(sample.data), "another layer goes on");
});

t.test("close() ends waiting reads with EIO", async (t) => {
  await using rig = await makeRig();
  addSample(rig, 1, makeGzipSample(1, 64 * 1024));
  const waiting = dd(join(rig.mount, "1"), { offset: 0, length: 4096, direct: true });
  await rig.until(() => rig.misses.length === 1);
  rig.plane.close();
  t.match((await waiting).message, EIO_TEXT);
  t.throws(() => rig.plane.stats(), /closed/);
});

t.test("a flat mount lists its layers, hides other names and refuses to be written", async (t) => {
  await using rig = await makeRig();
  const sample = makeGzipSample(1, 4096);
  for (const number of [3, 10, 4_294_967_295]) addSample(rig, number, sample, allPresent(sample));
  const { stdout } = await run("ls", ["-ln", rig.mount]);
  t.match(stdout, /4096 .* 10\n.*4096 .* 3\n.*4096 .* 4294967295/s);
  for (const name of ["03", "0", "11", "x", "-1", "4294967296"]) {
    await t.rejects(run("stat", [join(rig.mount, name)]), /No such file/, name);
  }
  await t.rejects(run("touch", [join(rig.mount, "new")]), /Read-only file system/);
  addSample(rig, 11, sample, allPresent(sample));
  t.equal(await sumFromOutside(join(rig.mount, "11")), sha256(sample.data), "an absence is not remembered");
});
