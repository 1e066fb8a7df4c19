import { join } from "node:path";
import t from "tap";
import type { Digest } from "../../src/bytes/index.js";
import { StartRecorder } from "../../src/layer/index.js";
import type { ReplayPlan } from "../../src/layer/replay-contract.js";
import type { StartTrace } from "../../src/traces/index.js";
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

function wholePlan(digests: readonly Digest[]): ReplayPlan {
  const ranges = [{ offset: 0, length: Number.MAX_SAFE_INTEGER }];
  const parts = digests.map((digest) => ({ digest, ranges }));
  return { parts, bytesMax: 64 * KIB * KIB, timeMaxMs: 60_000, label: "test" };
}

t.test("replay() brings what a start reads, and its recording says so", async (t) => {
  await using rig = await EngineRig.make();
  const layers = ["one", "two"].map((name) => sampleLayer(sampleFiles(name, sizes)));
  const requests = layers.map(requestOf);
  const digests = requests.map(({ request }) => request.digest);
  // A layer that is complete is mounted past lazuli elsewhere, where nobody sees what is touched.
  const engine = await rig.open({ mount: "fuse-tree" });
  const saved: StartTrace[] = [];
  const recorder = new StartRecorder({
    engine,
    store: { save: async (trace) => void saved.push(trace) },
    recordedMs: 60_000,
  });
  const handle = engine.replay(wholePlan(digests));
  for (const { request } of requests) await engine.ensure(request, {});
  await until(() => handle.figures().state !== "running");
  t.match(handle.figures(), { state: "done", failures: 0, start: undefined });
  t.ok(digests.every((digest) => engine.status(digest).complete));
  recorder.begin({
    key: "a-start",
    reference: "memory.example/sample:1",
    manifest: undefined,
    layers: digests,
  });
  const before = requests.map(({ source }) => source.requests.length);
  for (const [index, digest] of digests.entries()) {
    const folder = await engine.mountPoint(digest);
    t.equal((await child("cat", join(folder, "folder-0", "file-006"))).stdout.length > 0, true);
    t.equal(requests[index]?.source.requests.length, before[index], "nothing more was asked for");
  }
  await recorder.ready("a-start");
  await recorder.close();
  t.equal(saved.length, 1);
  const { start, storedBytes } = handle.figures();
  t.ok(
    start !== undefined && start.touchedBytes >= 2 * 900 * KIB,
    `${start?.touchedBytes} bytes were touched`,
  );
  t.match(start, { recall: 1, lateBytes: 0 });
  t.equal(start!.wasteBytes + start!.hitBytes, storedBytes);
  t.match(engine.figures.replays, [{ label: "test", state: "done", start: { recall: 1 } }]);
});

t.test("a replay whose requests fail, or that is a lie, harms no reader", async (t) => {
  await using rig = await EngineRig.make();
  const layer = sampleLayer(sampleFiles("failing", sizes));
  const { request, source } = requestOf(layer);
  const engine = await rig.open({ readaheadMaxBytes: 64 * KIB });
  await engine.ensure(request, {});
  const folder = await engine.mountPoint(request.digest);
  source.isDown = true;
  const failing = engine.replay(wholePlan([request.digest]));
  await until(() => failing.figures().failures > 0);
  source.isDown = false;
  const odd = [Number.NaN, -1, 0.5, 2 ** 52, Number.POSITIVE_INFINITY].flatMap((offset) =>
    [1, 2 ** 52, -1, Number.NaN].map((length) => ({ offset, length })),
  );
  const lie = { digest: request.digest, ranges: odd };
  const strange = { digest: `sha256:${"0".repeat(64)}` as Digest, ranges: odd };
  for (let count = 0; count < 100; count += 1) {
    engine.replay({ parts: [lie, strange], bytesMax: Number.NaN, timeMaxMs: 1, label: "a lie" });
    engine.replay({ parts: [strange, lie], bytesMax: 2 ** 52, timeMaxMs: 2 ** 52, label: "a lie" });
  }
  t.same(await hashesBelow(folder), expectedHashes(layer.files));
  failing.cancel();
  t.ok(engine.figures.replays.length <= 128, "few are kept");
  await engine.remove(request.digest);
});
