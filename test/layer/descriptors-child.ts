import { LazuliError } from "../../src/errors/index.js";
import { loadBinding } from "../../src/fuse/index.js";
import { openLayerEngine } from "../../src/layer/index.js";
import { expectedHashes, hashesBelow, requestOf } from "../../testing/layer/engine-rig.js";
import { sampleFiles, sampleLayer } from "../../testing/layer/sample-layer.js";

/** Makes layers until it is refused one for want of descriptors, then reads all of them. */
const [root, state] = process.argv.slice(2) as [string, string];
const engine = await openLayerEngine({
  binding: loadBinding(),
  ...{ root, state },
  demandDeadlineMs: 60_000,
  readaheadMaxBytes: 0,
  backgroundFill: false,
  mount: "erofs",
  fuseThreads: 2,
  workerThreads: 2,
  openSourceFor: async () => {
    throw new Error("No layer is opened anew");
  },
});
const made = [];
let reason: string | undefined;
while (reason === undefined && made.length < 1000) {
  const layer = sampleLayer(sampleFiles(`layer ${made.length}`, [100 * 1024, 5000]));
  const { request } = requestOf(layer);
  try {
    await engine.ensure(request, {});
    made.push({ layer, request });
  } catch (thrown) {
    reason = LazuliError.from(thrown).reason;
  }
}
let wrong = 0;
for (const { layer, request } of made) {
  const seen = await hashesBelow(await engine.mountPoint(request.digest));
  for (const [name, hash] of expectedHashes(layer.files)) if (seen.get(name) !== hash) wrong += 1;
}
const { used, limit } = engine.budgets.descriptors;
process.stdout.write(JSON.stringify({ made: made.length, reason, wrong, used, limit }));
process.exit(0);
