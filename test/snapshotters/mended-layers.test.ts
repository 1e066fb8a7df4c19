import t from "tap";
import { deferred } from "../../src/async/index.js";
import { parseDigest } from "../../src/bytes/index.js";
import { unavailable } from "../../src/errors/index.js";
import { type LazyRig, lazyRig } from "../../testing/snapshotter-suite/index.js";

const digest = parseDigest(`sha256:${"a".repeat(64)}`);
const labels = {
  "containerd.io/snapshot.ref": "T",
  "containerd.io/snapshot/cri.image-ref": "registry.example/library/app:1",
  "containerd.io/snapshot/cri.layer-digest": digest,
  "containerd.io/snapshot/stargz/toc.digest": digest,
};

/** A snapshotter with one lazy snapshot, whose layer the engine has lost. */
async function rigThatLost(
  t: { teardown: (run: () => Promise<void>) => void },
  options: Parameters<typeof lazyRig>[0] = {},
): Promise<LazyRig> {
  const rig = await lazyRig(options);
  t.teardown(rig.dispose);
  await pull(rig);
  await rig.engine.remove(digest);
  return rig;
}

async function pull({ snapshotter }: LazyRig): Promise<void> {
  const made = snapshotter.prepare({ key: "default/1/extract T", parent: "", labels });
  await made.catch((thrown: { code?: string }) => {
    if (thrown.code !== "ALREADY_EXISTS") throw thrown;
  });
}

const container = (key: string) => ({ key, parent: "T", labels: {} });

t.test("prepare() on a layer that the engine has lost makes it again, once for all who wait", async (t) => {
  const { snapshotter, engine } = await rigThatLost(t);
  const made = await Promise.all(["one", "two", "three"].map((key) => snapshotter.prepare(container(key))));
  t.equal(made.length, 3);
  t.same(engine.ensured, [digest, digest], "at the pull, and again");
});

t.test("prepare() on a layer that can't be made again tells why, and the next one tries again", async (t) => {
  const { snapshotter, engine } = await rigThatLost(t);
  engine.onEnsure = async () => {
    throw unavailable("Cannot reach registry.example", { reason: "registry-down" });
  };
  await t.rejects(snapshotter.prepare(container("one")), {
    code: "UNAVAILABLE",
    reason: "layer-not-mended",
    message: /Cannot reach registry\.example/,
    hint: /tries again/,
  });
  await t.rejects(snapshotter.stat("one"), { code: "NOT_FOUND" }, "nothing of it stays");
  engine.onEnsure = async () => undefined;
  t.match(await snapshotter.prepare(container("one")), [{ type: "overlay" }]);
});

t.test("prepare() waits for a layer no longer than it may, and the layer is made meanwhile", async (t) => {
  const { snapshotter, engine } = await rigThatLost(t, { resolveTimeoutMs: 50 });
  // Time limits don't keep a process alive; here nothing else does.
  const alive = setInterval(() => undefined, 1000);
  t.teardown(() => clearInterval(alive));
  const registry = deferred<void>();
  engine.onEnsure = async () => await registry.promise;
  const late = { code: "UNAVAILABLE", reason: "layer-being-mended", hint: /Ask again/ };
  await t.rejects(snapshotter.prepare(container("one")), late);
  await t.rejects(snapshotter.prepare(container("one")), late);
  registry.resolve();
  while (!engine.has(digest)) await new Promise(setImmediate);
  await snapshotter.prepare(container("one"));
  t.same(engine.ensured, [digest, digest], "by the first that asked");
});

t.test("prepare() of who leaves ends with his reason; close() ends what is being made", async (t) => {
  const { snapshotter, engine } = await rigThatLost(t);
  const begun = deferred<void>();
  let making: AbortSignal | undefined;
  engine.onEnsure = async (_request, signal) => {
    making = signal;
    begun.resolve();
    await new Promise((_resolve, reject) => signal?.addEventListener("abort", () => reject(signal.reason)));
  };
  const leaving = new AbortController();
  const left = snapshotter.prepare({ ...container("one"), signal: leaving.signal });
  await begun.promise;
  leaving.abort(new Error("the client left"));
  await t.rejects(left, { message: "the client left" });
  t.equal(making?.aborted, false, "the work goes on");
  await snapshotter.close();
  t.equal(making?.aborted, true);
});

t.test("remove() of the last snapshot on a lost layer takes away what is left of it", async (t) => {
  const { snapshotter, engine } = await rigThatLost(t);
  engine.removed.length = 0;
  await snapshotter.remove("T");
  t.same(engine.removed, [digest]);
});
