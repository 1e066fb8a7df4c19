import t from "tap";
import { FillPace } from "../../src/layer/fill-pace.js";
import {
  BACKGROUND_REQUESTS_MAX,
  FILL_JUMP_SHARE,
  FILL_STARVED_MS,
  KIB,
  MIB,
} from "../../src/layer/limits.js";
import { TokenBucket } from "../../src/layer/token-bucket.js";
import { FakeClock, settle } from "../../testing/layer/fake-clock.js";
import { schedulerRig } from "../../testing/layer/scheduler-rig.js";

const UNIT = 16 * KIB;
const PER_MIB = MIB / UNIT;

t.test("FillPace grows while nobody is delayed and halves when a read is", async (t) => {
  const pace = new FillPace();
  t.match([pace.requests, pace.isHeld], [1, true]);
  for (let read = 0; read < 8; read += 1) pace.waited(20, false);
  pace.started();
  for (let request = 0; request < 20; request += 1) pace.succeeded();
  t.match([pace.requests, pace.requestBytesMax, pace.isHeld], [BACKGROUND_REQUESTS_MAX, 4 * MIB, false]);
  pace.waited(30, true);
  t.equal(pace.requests, 4, "a usual wait changes nothing");
  pace.waited(60, true);
  t.equal(pace.requests, 2);
  pace.waited(60, true);
  t.match([pace.requests, pace.isHeld], [1, false]);
  pace.waited(60, true);
  t.match([pace.requests, pace.isHeld], [1, true], "it waits for quiet");
});

t.test("TokenBucket lets a second's bytes through at once, and then as the rate goes", async (t) => {
  const clock = new FakeClock();
  const bucket = new TokenBucket({ clock, bytesPerSecond: 1000 });
  bucket.take(1500);
  t.equal(bucket.waitMs, 501, "what was taken too much is owed");
  await clock.advance(501);
  t.equal(bucket.waitMs, 0);
  await clock.advance(60_000);
  bucket.take(1000);
  t.equal(bucket.waitMs, 1, "idle time is not saved up");
  const free = new TokenBucket({ clock, bytesPerSecond: 0 });
  free.take(MIB);
  t.match([free.waitMs, free.requestBytesMax], [0, Number.POSITIVE_INFINITY]);
});

t.test("the background goes by the order of the blob, and on from where a restart left it", async (t) => {
  const present = Array.from({ length: 100 }, (_, unit) => unit);
  const rig = schedulerRig({
    units: 1024,
    unitBytes: UNIT,
    backgroundFill: true,
    present: [...present, 500],
  });
  await rig.clock.advance(2_000);
  t.ok(rig.ledger.isComplete);
  const offsets = rig.source.requests.map(({ offset }) => offset);
  t.same(
    offsets,
    offsets.toSorted((one, other) => one - other),
  );
  t.equal(rig.source.fetchedBytes, (1024 - 101) * UNIT);
  t.ok(rig.source.requests.length < 12, `${rig.source.requests.length} requests, which grow`);
});

t.test("the background keeps to its bandwidth", async (t) => {
  const rig = schedulerRig({ units: 1024, unitBytes: UNIT, backgroundFill: true, fillBytesPerSecond: MIB });
  await rig.clock.advance(1_000);
  let last = rig.source.fetchedBytes;
  for (let second = 0; second < 8; second += 1) {
    await rig.clock.advance(1_000);
    const { fetchedBytes } = rig.source;
    t.ok(fetchedBytes - last <= MIB + UNIT, `${fetchedBytes - last} bytes in a second`);
    last = fetchedBytes;
  }
  t.ok(last >= 7 * MIB, "and uses it");
  await rig.clock.advance(10_000);
  t.ok(rig.ledger.isComplete);
});

t.test("the background grows while nobody waits, and makes way for a read that comes", async (t) => {
  const rig = schedulerRig({ units: 4096, unitBytes: UNIT, backgroundFill: true });
  rig.source.pieceBytes = MIB;
  rig.source.hold();
  const serve = async (read: number, waitMs: number) => {
    rig.miss(BigInt(read), 4000 + read);
    await rig.clock.advance(waitMs);
    rig.source.release();
    rig.source.hold();
    await settle();
  };
  for (let read = 0; read < 4; read += 1) await serve(read, 20);
  t.equal(rig.source.requests.length, 4, "nothing comes in between before it was quiet");
  await rig.clock.advance(1_100);
  t.match(rig.scheduler.figures, { backgroundRequests: 1, fillRequestsAllowed: 1 });
  for (let piece = 0; piece < 16; piece += 1) {
    rig.source.release(1);
    await settle();
  }
  const { fillRequestsAllowed: allowed, backgroundRequests } = rig.scheduler.figures;
  t.match([allowed, backgroundRequests], [3, 3]);
  rig.miss(10n, 4010);
  await settle();
  t.match(rig.scheduler.figures, { demandRequests: 1, fillRequestsAllowed: 1 });
  t.ok(rig.scheduler.figures.backgroundRequests < 3, "what would have been long in the way was cut");
  rig.source.release();
  rig.source.hold();
  await settle();
  await serve(11, 20);
  await serve(12, 20);
  t.ok(rig.scheduler.figures.backgroundRequests > 0, "it goes on beside reads that take no longer for it");
  for (let read = 13; rig.scheduler.figures.backgroundRequests > 0 && read < 30; read += 1)
    await serve(read, 200);
  t.match(rig.scheduler.figures, { backgroundRequests: 0, fillRequestsAllowed: 1 }, "and not when they do");
  await rig.clock.advance(1_100);
  t.equal(rig.scheduler.figures.backgroundRequests, 1, "before it is quiet again");
});

t.test("a node that is never quiet gets its layers filled some day", async (t) => {
  const rig = schedulerRig({ units: 1024, unitBytes: UNIT, backgroundFill: true });
  for (let read = 0; read * 500 <= FILL_STARVED_MS + 1_000; read += 1) {
    rig.miss(BigInt(read), 1023 - read);
    await rig.clock.advance(500);
  }
  t.ok(rig.ledger.hasAll(0, PER_MIB - 1), "the first MiB came between two reads");
});

t.test("a layer of which a start reads much is fetched at full speed from there", async (t) => {
  const rig = schedulerRig({ units: 2048, unitBytes: UNIT, backgroundFill: true });
  const other = rig.add(2, 64, UNIT);
  rig.source.hold();
  rig.miss(1n, 100, 110);
  rig.scheduler.onTouched(
    1,
    Array.from({ length: Math.floor(2048 * FILL_JUMP_SHARE) - 20 }, (_, unit) => 200 + unit),
  );
  rig.scheduler.onTouched(1, [5000]);
  await settle();
  t.match(rig.scheduler.figures, { urgentLayers: 0, backgroundRequests: 0 });
  rig.scheduler.onTouched(
    1,
    Array.from({ length: 20 }, (_, unit) => unit),
  );
  await settle();
  t.match(
    rig.scheduler.figures,
    { urgentLayers: 1, backgroundRequests: 4 },
    "while a read waits, and without quiet",
  );
  t.equal(rig.source.requests[1]?.offset, 111 * UNIT, "from where it is read");
  rig.miss(2n, 1600);
  await settle();
  t.equal(rig.scheduler.figures.backgroundRequests, 4, "reads of other places do not end it");
  rig.source.release();
  await settle();
  t.ok(rig.ledger.isComplete);
  t.equal(rig.source.fetchedBytes, 2048 * UNIT, "each byte once");
  t.equal(other.source.fetchedBytes, 0, "others wait for quiet");
  t.equal(rig.scheduler.figures.urgentLayers, 0);
});

t.test("full speed keeps to the bandwidth of the config, and is off where the background is", async (t) => {
  const slow = schedulerRig({ units: 1024, unitBytes: UNIT, backgroundFill: true, fillBytesPerSecond: MIB });
  slow.miss(1n, 0, 700);
  await slow.clock.advance(900);
  t.ok(slow.source.fetchedBytes <= 701 * UNIT + 2 * MIB);
  const off = schedulerRig({ units: 64, unitBytes: UNIT });
  off.miss(1n, 0, 40);
  await off.clock.advance(10_000);
  t.equal(off.source.fetchedBytes, 41 * UNIT);
});
