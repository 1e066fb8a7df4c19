import t from "tap";
import { type Digest, sha256 } from "../../src/bytes/index.js";
import { requestStepChannel } from "../../src/layer/events.js";
import { type LayerStatus, StartRecorder, type TracedEngine } from "../../src/layer/index.js";
import { RequestSteps } from "../../src/layer/request-steps.js";
import { type StartTrace, traceDroppedChannel } from "../../src/traces/index.js";
import { encodeUnitTable } from "../../src/units/index.js";
import { FakeClock } from "../../testing/layer/fake-clock.js";

const UNITS = 8;
const UNIT_BYTES = 4096;

const table = encodeUnitTable(
  Array.from({ length: UNITS }, (_, unit) => ({
    dataOffset: unit * UNIT_BYTES,
    dataLength: UNIT_BYTES,
    blobOffset: unit * UNIT_BYTES,
    blobLength: UNIT_BYTES,
    innerOffset: 0,
    sha256: Buffer.alloc(32, unit + 1),
    codec: "raw" as const,
  })),
  { dataSize: UNITS * UNIT_BYTES, blobSize: UNITS * UNIT_BYTES, blockSize: 512 },
);

/** An engine whose plane notes what the test touches, as the native one does. */
class FakeEngine implements TracedEngine {
  readonly logs = new Map<number, { touched: Set<number>; values: bigint[] }>();
  waiting: bigint[] = [];
  readonly #digests: readonly Digest[];

  constructor(digests: readonly Digest[]) {
    this.#digests = digests;
  }

  readonly plane: TracedEngine["plane"] = {
    startTouches: (layer) => {
      this.logs.set(layer, { touched: new Set(), values: this.logs.get(layer)?.values ?? [] });
    },
    takeTouches: (layer) => BigUint64Array.from(this.logs.get(layer)?.values.splice(0) ?? []),
    waitingTouches: () => BigUint64Array.from(this.waiting),
    stopTouches: (layer) => void this.logs.delete(layer),
  };

  touch(layer: number, unit: number, waitedMs = 0): void {
    const log = this.logs.get(layer);
    if (log === undefined || log.touched.has(unit)) return;
    log.touched.add(unit);
    log.values.push(BigInt(unit), process.hrtime.bigint(), BigInt(waitedMs * 1e6));
  }

  status(digest: Digest): LayerStatus {
    const number = this.#digests.indexOf(digest) + 1;
    if (number === 0) throw new Error("unknown");
    const bytes = { blobBytes: 10, dataBytes: UNITS * UNIT_BYTES };
    return { digest, number, format: "estargz", units: UNITS, ...bytes } as LayerStatus;
  }

  units() {
    return table;
  }
}

const digests = ["a", "b", "c"].map((name) => sha256(Buffer.from(name)));

function makeRig(
  facts: { commandOf?: (key: string) => readonly string[] | undefined; fails?: boolean } = {},
) {
  const engine = new FakeEngine(digests);
  const traces: StartTrace[] = [];
  const clock = new FakeClock();
  const recorder = new StartRecorder({
    engine,
    clock,
    recordedMs: 10_000,
    store: {
      save: async (trace) => {
        if (facts.fails === true) throw new Error("disk full");
        traces.push(trace);
      },
    },
    ...(facts.commandOf === undefined ? {} : { commandOf: facts.commandOf }),
  });
  const begin = (key: string, layers: readonly Digest[]): void =>
    recorder.begin({ key, reference: "image", manifest: undefined, layers });
  return { engine, traces, clock, recorder, begin };
}

function units({ touches }: StartTrace): string[] {
  return touches.map(({ layer, unit }) => `${layer}/${unit}`);
}

t.test("begin() records for its time what is touched and waited for, and then stops", async (t) => {
  const { engine, traces, clock, recorder, begin } = makeRig({ commandOf: (key) => ["run", key] });
  begin("k8s.io/7/web", [digests[0]!, digests[1]!, digests[0]!]);
  t.ok(recorder.isRecording("k8s.io/7/web"));
  engine.touch(2, 3);
  engine.touch(1, 0, 25);
  engine.touch(2, 3);
  engine.touch(3, 1);
  await clock.advance(9999);
  t.same(traces, []);
  await clock.advance(1);
  await recorder.close();
  const [trace] = traces;
  t.same(units(trace!), ["1/3", "0/0"]);
  t.same(
    trace!.touches.map(({ offset, length, waitedMs }) => [offset, length, waitedMs]),
    [
      [3 * UNIT_BYTES, UNIT_BYTES, 0],
      [0, UNIT_BYTES, 25],
    ],
  );
  t.equal(trace!.key, "web");
  t.equal(trace!.ended, "time");
  t.same(trace!.command, ["run", "k8s.io/7/web"]);
  t.equal(engine.logs.size, 0, "the plane notes nothing any more");
  t.equal(traces.length, 1);
});

t.test("several starts over the same layers each get their own touches", async (t) => {
  const { engine, traces, recorder, begin } = makeRig();
  begin("one", [digests[0]!, digests[1]!]);
  engine.touch(1, 0);
  engine.touch(1, 1);
  begin("two", [digests[2]!, digests[0]!]);
  engine.touch(1, 1);
  engine.touch(1, 2, 5);
  engine.touch(2, 7);
  engine.touch(3, 6);
  t.equal((await recorder.ready("one"))?.length, 1);
  engine.touch(1, 4);
  t.equal(engine.logs.has(2), false, "nobody records this layer any more");
  recorder.removed("two");
  await recorder.close();
  t.same(traces.map(units), [
    ["0/0", "0/1", "0/2", "1/7"],
    ["1/1", "1/2", "0/6", "1/4"],
  ]);
  t.same(
    traces.map(({ ended }) => ended),
    ["ready", "removed"],
  );
  t.equal(await recorder.ready("one"), undefined);
});

t.test("a read that still waits when the recording ends is in the trace", async (t) => {
  const { engine, traces, recorder, begin } = makeRig();
  begin("web", [digests[0]!]);
  engine.waiting = [5n, process.hrtime.bigint(), 70_000_000n, 5n, process.hrtime.bigint(), 1n];
  await recorder.ready("web");
  t.same(units(traces[0]!), ["0/5"]);
  t.equal(traces[0]!.touches[0]!.waitedMs, 70);
});

t.test("requests are recorded by their steps, also those that began before", async (t) => {
  const { traces, recorder, begin } = makeRig();
  const plan = { offset: 0, length: 100, firstUnit: 0, lastUnit: 3 };
  const early = new RequestSteps({ digest: digests[0]!, priority: "prefetch", plan });
  begin("web", [digests[0]!]);
  const good = new RequestSteps({ digest: digests[0]!, priority: "demand", plan: { ...plan, offset: 100 } });
  const failed = new RequestSteps({ digest: digests[0]!, priority: "background", plan });
  new RequestSteps({ digest: digests[1]!, priority: "demand", plan }).came(1);
  good.came(50);
  good.came(50);
  failed.received();
  failed.ended(true);
  good.received();
  good.ended(false);
  early.came(3);
  await recorder.ready("web");
  const { requests } = traces[0]!;
  t.same(
    requests.map(({ priority, offset, hasFailed }) => [priority, offset, hasFailed]),
    [
      ["prefetch", 0, false],
      ["demand", 100, false],
      ["background", 0, true],
    ],
  );
  const [first, second, third] = requests;
  t.equal(first!.atMs, 0);
  t.ok(first!.firstByteMs !== undefined && first!.endMs === undefined);
  t.ok(second!.storedMs! >= second!.endMs! && second!.endMs! >= second!.firstByteMs!);
  t.ok(third!.firstByteMs === undefined && third!.endMs !== undefined && third!.storedMs === undefined);
  let steps = 0;
  using _counted = requestStepChannel.subscribe(() => {
    steps += 1;
  });
  good.ended(false);
  t.equal(steps, 1);
  t.equal(traces.length, 1, "nobody records any more");
});

t.test("what is no start, or too much, or nothing, leaves no trace", async (t) => {
  const dropped: string[] = [];
  using _listening = traceDroppedChannel.subscribe(({ reason }) => dropped.push(reason));
  const { engine, traces, recorder, begin } = makeRig();
  begin("ns/1/extract-123-abc sha256:0", [digests[0]!]);
  begin("plain", []);
  t.notOk(recorder.isRecording("plain"));
  t.equal(engine.logs.size, 0);
  begin("quiet", [digests[0]!]);
  t.same(await recorder.ready("quiet"), []);
  t.same(dropped.splice(0), ["empty"]);
  begin("gone", [sha256(Buffer.from("unknown layer"))]);
  t.same(await recorder.ready("gone"), []);
  dropped.splice(0);
  for (let index = 0; index < 65; index += 1) begin(`many-${index}`, [digests[0]!]);
  t.same(dropped.splice(0), ["busy"]);
  engine.touch(1, 1);
  await recorder.close();
  t.equal(traces.length, 64);
  t.ok(traces.every(({ ended }) => ended === "stopped"));
});

t.test("a trace that can't be written is counted, and hurts nobody", async (t) => {
  const dropped: string[] = [];
  using _listening = traceDroppedChannel.subscribe(({ reason }) => dropped.push(reason));
  const { engine, recorder, begin } = makeRig({ fails: true });
  begin("web", [digests[0]!]);
  engine.touch(1, 1);
  t.same(await recorder.ready("web"), []);
  t.same(dropped, ["unwritten"]);
});

t.test("a command that is too long for a trace is cut between two arguments", async (t) => {
  const long = "x".repeat(10_000);
  const { engine, traces, recorder, begin } = makeRig({ commandOf: () => ["sh", long, long, "y"] });
  begin("web", [digests[0]!]);
  engine.touch(1, 1);
  await recorder.ready("web");
  t.same(traces[0]!.command, ["sh", long]);
});
