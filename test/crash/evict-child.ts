import { setTimeout as sleep } from "node:timers/promises";
import { loadBinding } from "../../src/fuse/index.js";
import { openLayerEngine } from "../../src/layer/index.js";
import { child, requestOf } from "../../testing/layer/engine-rig.js";
import { EVICT_BUDGET, evictLayer } from "./evict-layer.js";

/** Reads a layer that does not fit into its budget, past the kernel's memory, until it is killed. */
const [root, state] = process.argv.slice(2) as [string, string];
const { request, source } = requestOf(evictLayer());
const engine = await openLayerEngine({
  binding: loadBinding(),
  ...{ root, state, budget: EVICT_BUDGET },
  demandDeadlineMs: 60_000,
  readaheadMaxBytes: 0,
  backgroundFill: false,
  mount: "fuse-tree",
  fuseThreads: 2,
  workerThreads: 2,
  openSourceFor: async () => source,
});
await engine.ensure(request, {});
const folder = await engine.mountPoint(request.digest);
for (;;) {
  await child(
    "sh",
    "-c",
    'find "$1" -type f -exec dd if={} of=/dev/null bs=256k iflag=direct status=none \\;',
    "sh",
    folder,
  );
  // Quiet for longer than FLUSH_QUIET_MS: what is here is noted on disk, and then given up.
  await sleep(1_500);
  process.send?.(engine.budgets.space.evictedBytes);
}
