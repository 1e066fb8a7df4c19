import { fork } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import t from "tap";
import type { LayerStatus } from "../../src/layer/index.js";
import { EngineRig, expectedHashes, hashesBelow, requestOf } from "../../testing/layer/engine-rig.js";
import { EVICT_BUDGET, evictLayer } from "./evict-layer.js";

const program = fileURLToPath(new URL("./evict-child.js", import.meta.url));
/** The long version has more. */
const KILLS = Math.max(4, Number(process.env["LAZULI_KILLS"] ?? 4));
const ALREADY_PRESENT = 1;

t.setTimeout(0);

t.test("a kill while units are given up leaves no bit over a hole", async (t) => {
  await using rig = await EngineRig.make();
  const layer = evictLayer();
  const { request, source } = requestOf(layer);
  rig.sources.set(request.digest, source);
  let notedUnits = 0;
  for (let kill = 0; kill < KILLS; kill += 1) {
    const process = fork(program, [rig.root, rig.state], { execArgv: ["--enable-source-maps"] });
    const gone = once(process, "exit");
    const [evictedBytes] = (await once(process, "message")) as [number];
    t.ok(evictedBytes > 0, "units are being given up");
    // What was noted is given up within some 150 ms of the next round of reads: the first kill comes before.
    if (kill > 0) await sleep(Math.random() * 150);
    process.kill("SIGKILL");
    await gone;

    const engine = await rig.open({ mount: "fuse-tree" });
    const [{ number, units }] = engine.list() as readonly [LayerStatus];
    const noted = engine.plane.presence(number);
    const outcomes = await engine.plane.verify(number, 0, units - 1);
    const lies = outcomes.filter(
      (outcome, unit) => outcome !== ALREADY_PRESENT && ((noted[unit >>> 3] ?? 0) & (1 << (unit & 7))) !== 0,
    );
    const here = outcomes.filter((outcome) => outcome === ALREADY_PRESENT).length;
    t.equal(lies.length, 0, `of ${here} units`);
    notedUnits += here;
    await engine.close();
  }
  t.ok(notedUnits > 0, "some were noted");
  const engine = await rig.open({ mount: "fuse-tree", budget: EVICT_BUDGET });
  t.same(await hashesBelow(await engine.mountPoint(request.digest)), expectedHashes(layer.files));
});
