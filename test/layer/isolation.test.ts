import t from "tap";
import { LazuliError } from "../../src/errors/index.js";
import type { CompileInput } from "../../src/layer/compile-input.js";
import { Compilers } from "../../src/layer/compile-layer.js";
import { EngineRig, expectedHashes, hashesBelow, requestOf } from "../../testing/layer/engine-rig.js";
import { sampleFiles, sampleLayer } from "../../testing/layer/sample-layer.js";
import { dropCaches } from "../../testing/rig/drop-caches.js";
import type { CostlyInput } from "./costly-worker.js";

t.setTimeout(0);

const program = new URL("./costly-worker.js", import.meta.url);
const harms: readonly (CostlyInput & {
  readonly wanted: { readonly code: string; readonly reason: string };
})[] = [
  { harm: "memory", wanted: { code: "RESOURCE_EXHAUSTED", reason: "index-too-costly" } },
  { harm: "time", wanted: { code: "RESOURCE_EXHAUSTED", reason: "index-too-costly" } },
  { harm: "exit", wanted: { code: "RESOURCE_EXHAUSTED", reason: "index-too-costly" } },
  { harm: "crash", wanted: { code: "DATA_LOSS", reason: "index-compile-failed" } },
];

t.test("mounts are served while a stranger's index takes its compiler down", async (t) => {
  await using rig = await EngineRig.make();
  const engine = await rig.open({ mount: "fuse-tree" });
  const layer = sampleLayer(sampleFiles("isolation", [70_000, 5000, 300_000]));
  const { request, source } = requestOf(layer);
  rig.sources.set(request.digest, source);
  await engine.ensure(request, {});
  const mount = await engine.mountPoint(request.digest);
  // A thread that has ended is not waited for.
  const compilers = new Compilers({ program, heapMib: 24, timeoutMs: 3000, patienceMs: 2 ** 31 - 1 });
  t.teardown(() => compilers.close());
  for (const { harm, wanted } of harms) {
    let isEnded = false;
    const verdict = compilers
      .compile({ input: { harm } as unknown as CompileInput, subject: "stranger" })
      .then(
        () => undefined,
        (thrown: unknown) => thrown,
      )
      .finally(() => {
        isEnded = true;
      });
    let reads = 0;
    do {
      await dropCaches();
      t.same(await hashesBelow(mount), expectedHashes(layer.files), `read during ${harm}`);
      reads += 1;
    } while (!isEnded);
    const thrown = await verdict;
    if (!(thrown instanceof LazuliError)) t.fail(`${harm}: ${String(thrown)}`);
    else t.match({ code: thrown.code, reason: thrown.reason }, wanted, `${harm}, ${reads} times read`);
  }
  const other = requestOf(sampleLayer(sampleFiles("isolation-2", [5000])));
  await engine.ensure(other.request, {});
  t.ok(engine.has(other.request.digest), "the next layer is taken");
});
