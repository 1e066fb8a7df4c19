import t from "tap";
import { refusalReasons } from "../../src/fuse/index.js";
import {
  BACKGROUND_QUIET_MS,
  CORRUPT_ATTEMPTS_MAX,
  DEMAND_REQUESTS_PER_LAYER_MAX,
  KIB,
  MIB,
  REPLAY_INDEX_QUIET_MS,
} from "../../src/layer/limits.js";
import { type LogRecord, logChannel } from "../../src/observe/index.js";
import { settle } from "../../testing/layer/fake-clock.js";
import { schedulerRig } from "../../testing/layer/scheduler-rig.js";

const EIO = 5;

t.test("onMiss() fetches the units of many reads once", async (t) => {
  const rig = schedulerRig({ units: 64, unitBytes: 16 * KIB });
  for (let read = 0; read < 20; read += 1) rig.miss(BigInt(read), 8, 11);
  await settle();
  t.equal(rig.source.requests.length, 1, "one request");
  t.equal(rig.source.fetchedBytes, 64 * KIB, "each byte once");
  t.equal(rig.fetcher.waitingReads, 0, "all reads are served");
  t.same(
    [8, 9, 10, 11].map((unit) => rig.plane.present.has(unit)),
    [true, true, true, true],
  );
});

t.test("onMiss() stores the first unit while the rest still arrives", async (t) => {
  const rig = schedulerRig({ units: 64, unitBytes: 16 * KIB, readaheadMaxBytes: 512 * KIB });
  rig.source.hold();
  rig.miss(1n, 4);
  await settle();
  rig.source.release(1);
  await settle();
  t.ok(rig.plane.present.has(4), "the unit that is waited for is stored");
  t.equal(rig.fetcher.waitingReads, 0);
  t.equal(rig.source.requests[0]!.isDone, false, "the readahead is on its way");
  rig.miss(2n, 5);
  await settle();
  t.equal(rig.source.requests.length, 1, "a read of a unit that is on its way waits for it");
  rig.source.release();
  await settle();
  t.equal(rig.fetcher.waitingReads, 0);
  t.equal(rig.source.fetchedBytes, rig.source.requests[0]!.length, "each byte once");
});

t.test("onMiss() widens its requests while reads go on in order", async (t) => {
  const rig = schedulerRig({ units: 4096, unitBytes: 16 * KIB, readaheadMaxBytes: 3 * MIB });
  for (let read = 0; read < 8; read += 1) {
    const next = rig.ledger.firstMissing(0, 4095)!;
    rig.miss(BigInt(read), next);
    await settle();
  }
  const lengths = rig.source.requests.map((request) => request.length);
  t.equal(lengths[0], MIB + 16 * KIB);
  t.equal(lengths[1], 2 * MIB + 16 * KIB);
  t.equal(lengths.at(-1), 3 * MIB + 16 * KIB, "and stops at the maximum");
});

t.test("onMiss() keeps its window under random reads and goes without at 0", async (t) => {
  const rig = schedulerRig({ units: 4096, unitBytes: 16 * KIB, readaheadMaxBytes: 4 * MIB });
  for (const [read, unit] of [3500, 100, 2000, 2900].entries()) {
    rig.miss(BigInt(read), unit);
    await settle();
  }
  t.same(
    rig.source.requests.map((request) => request.length / KIB - 16),
    [1024, 1024, 1024, 1024],
  );
  const without = schedulerRig({ units: 16, unitBytes: 16 * KIB, readaheadMaxBytes: 0 });
  without.miss(1n, 3);
  await settle();
  t.equal(without.source.fetchedBytes, 16 * KIB);
});

t.test("onMiss() joins missing units over small gaps and splits at large ones", async (t) => {
  const rig = schedulerRig({ units: 64, unitBytes: 8 * KIB });
  rig.miss(1n, 2);
  rig.miss(2n, 10, 19);
  await settle();
  rig.source.requests.length = 0;
  rig.miss(3n, 0, 63);
  await settle();
  t.same(
    rig.source.requests.map((request) => [request.offset / KIB / 8, request.length / KIB / 8]),
    [
      [0, 10],
      [20, 44],
    ],
    "the gap of one unit is bridged, the gap of ten is not",
  );
  t.notOk(
    rig.plane.ingested.slice(2).some((run) => run.firstUnit <= 2 && run.lastUnit >= 2),
    "what was bridged is not decoded again",
  );
});

t.test("a request that fails is made again until its source is back", async (t) => {
  const rig = schedulerRig({ units: 8, unitBytes: 16 * KIB });
  rig.source.isDown = true;
  rig.miss(1n, 0);
  await rig.clock.advance(10_000);
  const tries = rig.source.requests.length;
  t.ok(tries >= 8 && tries <= 14, `it paces itself: ${tries} tries`);
  t.equal(rig.plane.failed.length, 0);
  t.match(rig.fetcher.lastError, /source is down/);
  rig.source.isDown = false;
  await rig.clock.advance(1_000);
  t.ok(rig.plane.present.has(0), "a read goes on within a second of the source's return");
  t.equal(rig.fetcher.waitingReads, 0);
});

t.test("a read gets EIO at its deadline and not before", async (t) => {
  const rig = schedulerRig({ units: 8, unitBytes: 16 * KIB, demandDeadlineMs: 30_000 });
  rig.source.isDown = true;
  rig.miss(1n, 2, 3);
  await rig.clock.advance(29_999);
  t.equal(rig.plane.failed.length, 0);
  await rig.clock.advance(1);
  t.same(rig.plane.failed, [{ reads: [1n], errno: EIO }]);
  t.match(rig.fetcher.lastError, /30000 ms.*source is down/);
  t.equal(rig.fetcher.waitingReads, 0);
  const tries = rig.source.requests.length;
  await rig.clock.advance(60_000);
  t.equal(rig.source.requests.length, tries, "nobody waits: nothing is asked for");
  rig.source.isDown = false;
  rig.miss(2n, 2, 3);
  await rig.clock.advance(5_000);
  t.ok(rig.plane.present.has(3), "the next read starts anew");
});

t.test("each read has a deadline of its own", async (t) => {
  const rig = schedulerRig({ units: 8, unitBytes: 16 * KIB, demandDeadlineMs: 30_000 });
  rig.source.isDown = true;
  rig.miss(1n, 2);
  rig.miss(2n, 2);
  await rig.clock.advance(10_000);
  rig.miss(3n, 2);
  await rig.clock.advance(20_000);
  t.same(rig.plane.failed, [{ reads: [1n, 2n], errno: EIO }]);
  t.equal(rig.fetcher.waitingReads, 1, "a younger read of the same unit goes on waiting");
  rig.source.isDown = false;
  await rig.clock.advance(5_000);
  t.equal(rig.fetcher.waitingReads, 0);
  t.equal(rig.plane.failed.length, 1);
  t.ok(rig.plane.present.has(2), "and is served");
});

t.test("what the kernel asks for again right after a deadline shares its outcome", async (t) => {
  const rig = schedulerRig({ units: 64, unitBytes: 16 * KIB, demandDeadlineMs: 1_000 });
  rig.source.hold();
  rig.miss(1n, 8, 15);
  await rig.clock.advance(1_000);
  for (let page = 0; page < 8; page += 1) rig.miss(BigInt(page + 2), 8 + page);
  rig.miss(20n, 40);
  t.same(
    rig.plane.failed.map(({ reads }) => reads),
    Array.from({ length: 9 }, (_, read) => [BigInt(read + 1)]),
  );
  t.equal(rig.fetcher.waitingReads, 1, "other units are waited for");
  await rig.clock.advance(250);
  rig.miss(21n, 8);
  t.equal(rig.fetcher.waitingReads, 2, "a later read waits anew");
});

t.test("reads that fail are explained in the log, a few lines for many", async (t) => {
  const records: LogRecord[] = [];
  using _log = logChannel.subscribe((record) => records.push(record));
  const rig = schedulerRig({ units: 8, unitBytes: 16 * KIB, demandDeadlineMs: 1_000 });
  rig.source.hold();
  for (let read = 1; read <= 24; read += 1) {
    rig.miss(BigInt(read), 2, 3);
    await rig.clock.advance(500);
  }
  await rig.clock.advance(1_000);
  rig.scheduler.onRefused([{ layer: 1, reads: 7, reason: refusalReasons.tooManyWaiting }]);
  t.match(rig.fetcher.lastError, /wait for missing bytes already/);
  rig.scheduler.onRefused([{ layer: 1, reads: 2, reason: refusalReasons.internal }]);
  t.match(rig.fetcher.lastError, /no memory/);
  const digest = rig.source.digest;
  const late = { level: "warn", digest, reason: "demand-deadline", units: "2-3", error: /did not answer/ };
  const [first, second, ...others] = records;
  t.match([first, second], [{ ...late, readsWithoutLine: 0 }, late]);
  t.ok(Number(second?.["readsWithoutLine"]) >= 15, "a line tells of those that had none");
  t.match(others, [
    { level: "warn", digest, reason: "waiting-reads-full", reads: 7 },
    { level: "warn", digest, reason: "plane-failed", reads: 2 },
  ]);
});

t.test("a request that hangs is given up at the deadline", async (t) => {
  const rig = schedulerRig({ units: 8, unitBytes: 16 * KIB, demandDeadlineMs: 1_000 });
  rig.source.hold();
  rig.miss(1n, 0);
  await rig.clock.advance(1_000);
  t.equal(rig.plane.failed[0]?.errno, EIO);
  t.equal(rig.scheduler.figures.demandRequests, 0);
});

t.test("wrong bytes are fetched again, and fail their readers in the end", async (t) => {
  const rig = schedulerRig({ units: 8, unitBytes: 16 * KIB });
  rig.source.wrong = { offset: 16 * KIB, length: 1, times: 1 };
  rig.miss(1n, 0, 2);
  await settle();
  t.same(rig.source.distrusted, [{ offset: 16 * KIB, length: 16 * KIB }]);
  t.ok(rig.plane.present.has(1), "the second answer was right");
  t.equal(rig.source.fetchedBytes, 4 * 16 * KIB, "only the wrong unit came twice");

  rig.source.wrong = { offset: 5 * 16 * KIB, length: 1, times: 100 };
  rig.source.requests.length = 0;
  rig.miss(2n, 5);
  await settle();
  t.equal(rig.source.requests.length, CORRUPT_ATTEMPTS_MAX);
  t.same(rig.plane.failed, [{ reads: [2n], errno: EIO }]);
  t.match(rig.fetcher.lastError, /unit 5 do not have the digest/);
  t.notOk(rig.plane.present.has(5));
  rig.source.wrong = undefined;
  rig.miss(3n, 5);
  await settle();
  t.ok(rig.plane.present.has(5), "the next read tries again");
});

t.test("a unit that the disk refuses fails its readers without another fetch", async (t) => {
  const rig = schedulerRig({ units: 8, unitBytes: 16 * KIB });
  rig.plane.broken.add(3);
  rig.miss(1n, 3);
  await settle();
  t.equal(rig.source.requests.length, 1);
  t.same(rig.plane.failed, [{ reads: [1n], errno: EIO }]);
  t.match(rig.fetcher.lastError, /Unit 3 could not be written/);
});

t.test("onInterrupt() cancels what nobody waits for any more", async (t) => {
  const rig = schedulerRig({ units: 256, unitBytes: 16 * KIB, readaheadMaxBytes: MIB });
  rig.source.hold();
  rig.miss(1n, 0);
  rig.miss(2n, 100);
  await settle();
  t.equal(rig.scheduler.figures.demandRequests, 2);
  rig.scheduler.onInterrupt([1n]);
  await settle();
  t.equal(rig.scheduler.figures.demandRequests, 1, "one request is gone");
  t.equal(rig.fetcher.waitingReads, 1);
  rig.source.release();
  await settle();
  t.ok(rig.plane.present.has(100), "the other goes on");
  t.notOk(rig.plane.present.has(0));
});

t.test("a read cuts a prefetch short that would bring its unit late", async (t) => {
  const rig = schedulerRig({ units: 512, unitBytes: 16 * KIB });
  rig.source.hold();
  const { digest } = rig.source;
  const ranges = [{ offset: 0, length: 4 * MIB }];
  const plan = { parts: [{ digest, ranges }], bytesMax: 8 * MIB, timeMaxMs: 60_000, label: "test" };
  rig.scheduler.replay(plan, { isHint: true });
  await settle();
  t.same(
    rig.source.requests.map((request) => request.length),
    [4 * MIB],
  );
  rig.source.release(1);
  rig.miss(1n, 10);
  await settle();
  t.equal(rig.source.requests.length, 1, "a near unit waits for the prefetch");
  rig.miss(2n, 200);
  await settle();
  t.ok(
    rig.source.requests.some((request) => request.offset === 200 * 16 * KIB),
    "a far unit has a request of its own",
  );
  rig.source.release();
  await settle();
  t.equal(rig.fetcher.waitingReads, 0);
  t.equal(rig.ledger.firstMissing(0, 255), undefined, "the prefetch was taken up again");
  t.ok(rig.source.fetchedBytes <= 4 * MIB + 16 * KIB, "each byte once, but for a piece that was on its way");
});

t.test("the background fills a layer after quiet and yields to reads", async (t) => {
  const rig = schedulerRig({ units: 256, unitBytes: 16 * KIB, backgroundFill: true });
  await rig.clock.advance(900);
  t.equal(rig.source.requests.length, 0, "not before it was quiet");
  rig.source.hold();
  await rig.clock.advance(200);
  t.equal(rig.scheduler.figures.backgroundRequests, 1);
  rig.miss(1n, 250);
  await settle();
  t.equal(rig.scheduler.figures.demandRequests, 1, "a read does not wait for it");
  rig.source.release();
  await settle();
  t.equal(rig.scheduler.figures.backgroundRequests, 0, "the next one waits for quiet");
  await rig.clock.advance(1_100);
  t.ok(rig.ledger.isComplete);
  t.equal(rig.source.fetchedBytes, 4 * MIB, "each byte once");
});

t.test("onDamaged() makes a unit missing, and a read fetches it again", async (t) => {
  const rig = schedulerRig({ units: 8, unitBytes: 16 * KIB });
  rig.miss(1n, 0, 7);
  await settle();
  t.ok(rig.ledger.isComplete);
  rig.plane.present.set(4, false);
  rig.scheduler.onDamaged([{ layer: 1, unit: 4 }]);
  t.equal(rig.ledger.presentCount, 7);
  rig.plane.present.set(6, false);
  rig.miss(2n, 4, 6);
  await settle();
  t.ok(rig.plane.present.has(4));
  rig.miss(3n, 6);
  await settle();
  t.ok(rig.plane.present.has(6), "also one whose damage was not told");
  rig.miss(4n, 0, 7);
  await settle();
  t.equal(rig.fetcher.waitingReads, 0, "a miss that is out of date is forgotten");
});

t.test("onMiss() bounds its requests, and reads that wait go before readahead", async (t) => {
  const rig = schedulerRig({ units: 4096, unitBytes: 16 * KIB, readaheadMaxBytes: MIB });
  rig.source.hold();
  for (let read = 0; read < 20; read += 1) rig.miss(BigInt(read), read * 200);
  await settle();
  t.equal(rig.scheduler.figures.demandRequests, DEMAND_REQUESTS_PER_LAYER_MAX);
  t.equal(rig.scheduler.figures.waitingReads, 20);
  rig.source.release(DEMAND_REQUESTS_PER_LAYER_MAX);
  await settle();
  t.equal(rig.fetcher.waitingReads, 20 - DEMAND_REQUESTS_PER_LAYER_MAX);
  rig.miss(100n, 4000);
  await settle();
  t.ok(rig.source.requests.length > DEMAND_REQUESTS_PER_LAYER_MAX, "requests that only read ahead made way");
  rig.source.release();
  await settle();
  t.equal(rig.fetcher.waitingReads, 0);
  t.equal(rig.scheduler.figures.bytesInFlight, 0);
});

t.test("close() fails the reads that wait and ends all requests", async (t) => {
  const rig = schedulerRig({ units: 8, unitBytes: 16 * KIB });
  rig.source.hold();
  rig.miss(1n, 0);
  await settle();
  rig.scheduler.close();
  await rig.fetcher.close();
  t.equal(rig.plane.failed[0]?.errno, EIO);
  t.equal(rig.fetcher.transfers.size, 0);
});

t.test("making() lets replays have one request at a time until the index was read", async (t) => {
  const rig = schedulerRig({ units: 256, unitBytes: 64 * KIB });
  rig.source.hold();
  const making = rig.scheduler.making();
  const ranges = Array.from({ length: 16 }, (_, index) => ({ offset: index * MIB, length: 64 * KIB }));
  const parts = [{ digest: rig.fetcher.digest, ranges }];
  rig.scheduler.replay({ parts, bytesMax: 64 * MIB, timeMaxMs: 60_000, label: "making" }, { isHint: false });
  await settle();
  t.equal(rig.source.requests.length, 1);
  making.indexRead();
  await rig.clock.advance(REPLAY_INDEX_QUIET_MS);
  rig.scheduler.wake();
  await settle();
  t.ok(rig.source.requests.length > 1, "then several");
  rig.source.release();
});

t.test("expectStart() holds the background until it is quiet", async (t) => {
  const rig = schedulerRig({ units: 64, unitBytes: 64 * KIB, backgroundFill: true });
  await rig.clock.advance(BACKGROUND_QUIET_MS / 2);
  rig.scheduler.expectStart();
  await rig.clock.advance(BACKGROUND_QUIET_MS / 2);
  await settle();
  t.equal(rig.source.requests.length, 0);
  await rig.clock.advance(BACKGROUND_QUIET_MS / 2);
  await settle();
  t.ok(rig.source.requests.length > 0);
});

t.test("a read that is told of a unit's loss before its arrival waits until it came again", async (t) => {
  const rig = schedulerRig({ units: 16, unitBytes: 16 * KIB });
  const ingest = rig.plane.ingest.bind(rig.plane);
  let rounds = 0;
  rig.plane.ingest = async (options) => {
    const outcomes = await ingest(options);
    rounds += 1;
    if (rounds === 1) {
      rig.plane.present.set(4, false);
      rig.scheduler.onDamaged([{ layer: 1, unit: 4 }]);
      rig.miss(2n, 4);
    }
    return outcomes;
  };
  rig.miss(1n, 4);
  await settle();
  t.equal(rounds, 2, "it was fetched again");
  t.ok(rig.plane.present.has(4));
  t.equal(rig.fetcher.waitingReads, 0);
});
