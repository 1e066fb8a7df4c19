import { access, lstat, readdir } from "node:fs/promises";
import { join } from "node:path";
import t from "tap";
import { deferred } from "../../src/async/index.js";
import { parseDigest } from "../../src/bytes/index.js";
import { unavailable } from "../../src/errors/index.js";
import {
  type FoundLayer,
  fallbackChannel,
  type LayerQuery,
  labelResolver,
  preparedChannel,
  SociIndexes,
} from "../../src/snapshotters/index.js";
import { buildSociIndex, encodePrefetch } from "../../src/soci/index.js";
import {
  FakeEngine,
  type LazyRig,
  lazyRig,
  noRegistry,
  withMounts,
} from "../../testing/snapshotter-suite/index.js";

const digestOf = (digit: string) => parseDigest(`sha256:${digit.repeat(64)}`);
const tocDigest = digestOf("f");
const reference = "registry.example/library/app:1";

function labelsFor(digit: string, target: string, more: Record<string, string> = {}): Record<string, string> {
  return {
    "containerd.io/snapshot.ref": target,
    "containerd.io/snapshot/cri.image-ref": reference,
    "containerd.io/snapshot/cri.layer-digest": digestOf(digit),
    "containerd.io/snapshot/stargz/toc.digest": tocDigest,
    ...more,
  };
}

async function extract(
  rig: LazyRig,
  digit: string,
  options: { target: string; parent?: string; key?: string },
) {
  const { target, parent = "", key = `default/1/extract-1 ${target}` } = options;
  return await rig.snapshotter.prepare({ key, parent, labels: labelsFor(digit, target) });
}

async function rigFor(
  t: { teardown: (run: () => Promise<void>) => void },
  options: Parameters<typeof lazyRig>[0] = {},
): Promise<LazyRig> {
  const rig = await lazyRig(options);
  t.teardown(rig.dispose);
  return rig;
}

const exists = { code: "ALREADY_EXISTS" };

t.test("prepare() with a target commits the layer lazily, and containers run on it", async (t) => {
  const rig = await rigFor(t);
  const { snapshotter, engine } = rig;
  engine.owner = { uid: 7, gid: 8 };
  const prepared: unknown[] = [];
  using _listener = preparedChannel.subscribe((facts) => prepared.push(facts));
  await t.rejects(extract(rig, "a", { target: "T1" }), { ...exists, message: 'target snapshot "T1"' });
  await t.rejects(extract(rig, "b", { target: "T2", parent: "T1" }), exists);
  t.match(await snapshotter.stat("T2"), {
    kind: "committed",
    parent: "T1",
    labels: { "containerd.io/snapshot/remote": "remote snapshot", "containerd.io/snapshot.ref": "T2" },
  });
  await t.rejects(snapshotter.stat("default/1/extract-1 T2"), { code: "NOT_FOUND" });
  const found: string[] = [];
  const filter = 'labels."containerd.io/snapshot.ref"==T2,parent=="T1"';
  for await (const info of snapshotter.walk([filter])) found.push(info.name);
  t.same(found, ["T2"], "containerd finds it by label and parent");
  const mounts = await snapshotter.prepare({ key: "container", parent: "T2", labels: {} });
  const own = rig.snapshotter.rows().find((row) => row.name === "container")!;
  const [lower2, lower1] = [await engine.mountPoint(digestOf("b")), await engine.mountPoint(digestOf("a"))];
  t.match(mounts, [{ type: "overlay", source: "overlay" }]);
  const folder = join(rig.folder, "snapshots", String(own.id));
  t.same(mounts[0]!.options.slice(0, 3), [
    `workdir=${folder}/work`,
    `upperdir=${folder}/fs`,
    `lowerdir=${lower2}:${lower1}`,
  ]);
  t.match(await lstat(join(folder, "fs")), { uid: 7, gid: 8 }, "the owner comes from the layer's index");
  const seen = await withMounts(mounts, async (path) => await readdir(path));
  t.same(seen.sort(), ["file-of-aaaaaaaa", "file-of-bbbbbbbb"]);
  t.same(
    await snapshotter.view({ key: "view", parent: "T1", labels: {} }),
    [{ type: "bind", source: lower1, target: "", options: ["ro", "rbind"] }],
    "a view of one layer is a bind mount of it",
  );
  t.same(await snapshotter.usage("T1"), { size: 4096, inodes: 3 }, "the engine counts the bytes");
  t.equal(prepared.length, 2);
});

t.test("prepare() of a target that is there shares it between namespaces", async (t) => {
  const rig = await rigFor(t);
  await t.rejects(extract(rig, "a", { target: "T", key: "one/1/extract T" }), exists);
  await t.rejects(extract(rig, "a", { target: "T", key: "two/2/extract T" }), exists);
  t.equal(rig.snapshotter.rows().length, 1);
  await rig.snapshotter.prepare({ key: "two/3/k", parent: "", labels: {} });
  await rig.snapshotter.commit({ name: "two/4/base", key: "two/3/k", parent: "", labels: {} });
  await t.rejects(extract(rig, "a", { target: "T", parent: "two/4/base", key: "two/5/extract T" }), exists);
  const found: string[] = [];
  const filter = 'labels."containerd.io/snapshot.ref"==T,parent=="two/4/base"';
  for await (const info of rig.snapshotter.walk([filter])) found.push(info.kind);
  t.same(found, ["committed"], "another parent has a snapshot of its own");
});

t.test("prepare() falls back with a reason that stays with the snapshot", async (t) => {
  const rig = await rigFor(t, { resolveTimeoutMs: 50 });
  const { snapshotter, engine } = rig;
  const reasons: string[] = [];
  using _listener = fallbackChannel.subscribe((facts) => reasons.push(facts.reason));
  // Time limits don't keep a process alive; here nothing else does.
  const alive = setInterval(() => undefined, 1000);
  t.teardown(() => clearInterval(alive));
  const key = "default/1/extract T";
  const attempt = async (labels: Record<string, string>, reason: string) => {
    const mounts = await snapshotter.prepare({ key, parent: "", labels });
    t.match(mounts, [{ type: "bind", options: ["rw", "rbind"] }], `${reason}: an ordinary snapshot`);
    t.equal(reasons.pop(), reason);
    const row = snapshotter.rows().find((row) => row.name === key)!;
    t.match(row, { kind: "active", fallback: { reason } });
    await snapshotter.remove(key);
    return row;
  };
  await attempt({ "containerd.io/snapshot.ref": "T" }, "no-source");
  const { "containerd.io/snapshot/stargz/toc.digest": _toc, ...withoutToc } = labelsFor("a", "T");
  const row = await attempt(withoutToc, "no-toc-digest");
  t.match(row, { origin: { reference, digest: digestOf("a") }, fallback: { hint: /eStargz/ } });
  await attempt(
    { ...labelsFor("a", "T"), "containerd.io/snapshot/cri.layer-digest": "bad" },
    "digest-invalid",
  );
  engine.onEnsure = async () => {
    throw unavailable("The registry is away", { reason: "registry-down" });
  };
  await attempt(labelsFor("a", "T"), "registry-down");
  let cancelled = false;
  engine.onEnsure = async (_request, signal) => {
    await new Promise<void>((resolve) => signal?.addEventListener("abort", () => resolve()));
    cancelled = true;
    signal?.throwIfAborted();
  };
  await attempt(labelsFor("a", "T"), "resolve-timeout");
  t.ok(cancelled, "work that came too late is dropped");
  engine.onEnsure = async () => undefined;
  await t.rejects(extract(rig, "a", { target: "T" }), exists);
  await attempt(labelsFor("b", "T"), "target-of-another-layer");
  await snapshotter.prepare({ key, parent: "", labels: withoutToc });
  await snapshotter.commit({ name: "kept", key, parent: "", labels: { own: "1" } });
  const kept = snapshotter.rows().find((row) => row.name === "kept");
  t.match(kept, { fallback: { reason: "no-toc-digest" }, labels: { own: "1" } });
});

t.test("prepare() refuses before any work what can't become a snapshot", async (t) => {
  const rig = await rigFor(t);
  await rig.snapshotter.prepare({ key: "taken", parent: "", labels: {} });
  await t.rejects(extract(rig, "a", { target: "T", key: "taken" }), { message: "snapshot taken" });
  await t.rejects(extract(rig, "a", { target: "T", parent: "none" }), { code: "NOT_FOUND" });
  const labels = { ...labelsFor("a", "T"), long: "x".repeat(4093) };
  await t.rejects(rig.snapshotter.prepare({ key: "k", parent: "", labels }), { code: "INVALID_ARGUMENT" });
  t.same(rig.engine.ensured, []);
  const controller = new AbortController();
  rig.engine.onEnsure = async () => controller.abort(new DOMException("The client left", "AbortError"));
  const left = rig.snapshotter.prepare({
    key: "k",
    parent: "",
    labels: labelsFor("a", "T"),
    signal: controller.signal,
  });
  await t.rejects(left, { name: "AbortError" });
  await t.rejects(rig.snapshotter.stat("k"), { code: "NOT_FOUND" }, "nothing is made for a client that left");
});

t.test("labelResolver() asks the host's content store for what labels leave out", async (t) => {
  const queries: Omit<LayerQuery, "signal">[] = [];
  const descriptor = (digit: string) => ({
    mediaType: "application/vnd.oci.image.layer.v1.tar+gzip",
    digest: digestOf(digit),
    size: 1234,
    annotations: { "containerd.io/snapshot/stargz/toc.digest": tocDigest },
    platform: undefined,
  });
  let found: FoundLayer | undefined = {
    reference,
    layer: descriptor("a"),
    diffId: digestOf("9"),
    manifestDigest: digestOf("e"),
    manifestAnnotations: {},
    neighbours: ["b", "c"].map((digit) => ({ layer: descriptor(digit), diffId: digestOf("9") })),
  };
  const engine = new FakeEngine(join(t.testdirName, "layers"));
  const resolver = labelResolver({
    registry: noRegistry,
    soci: undefined,
    wholeBytesMin: undefined,
    hostContent: {
      hasBlob: async () => false,
      findLayer: async ({ namespace, chainId }) => {
        queries.push({ namespace, chainId });
        return found;
      },
    },
  });
  const rig = await rigFor(t, { resolver, engine });
  const labels = { "containerd.io/snapshot.ref": "T" };
  await t.rejects(rig.snapshotter.prepare({ key: "k8s.io/12/extract T", parent: "", labels }), exists);
  t.same(queries, [{ namespace: "k8s.io", chainId: "T" }]);
  await rig.snapshotter.close();
  t.same([...engine.ensured].sort(), [digestOf("a"), digestOf("b"), digestOf("c")], "with its neighbours");
  found = { ...found, layer: { ...descriptor("d"), annotations: {} } };
  const { signal } = new AbortController();
  const other = { key: "k", target: "U", signal };
  t.match(await resolver.resolve({ ...other, labels: labelsFor("a", "U") }), {
    kind: "layer",
    request: {
      digest: digestOf("a"),
      index: { kind: "estargz", tocDigest },
      origin: { reference, size: undefined },
    },
  });
  const { "containerd.io/snapshot/stargz/toc.digest": _toc, ...some } = labelsFor("a", "U");
  found = { ...found, layer: descriptor("a") };
  t.match(await resolver.resolve({ ...other, labels: some }), {
    kind: "layer",
    request: { index: { kind: "estargz", tocDigest }, origin: { size: 1234 } },
  });
});

t.test("cleanup() deletes what no snapshot needs, and nothing that one is about to need", async (t) => {
  const rig = await rigFor(t, { layerGraceMs: 0 });
  const { snapshotter, engine } = rig;
  await t.rejects(extract(rig, "a", { target: "T1" }), exists);
  await snapshotter.prepare({ key: "plain", parent: "T1", labels: {} });
  const folder = join(
    rig.folder,
    "snapshots",
    String(snapshotter.rows().find((row) => row.name === "plain")!.id),
  );
  await snapshotter.cleanup();
  await access(folder);
  t.same(engine.removed, []);
  await snapshotter.remove("plain");
  await access(folder);
  await snapshotter.remove("T1");
  const waiting = deferred<void>();
  const reached = deferred<void>();
  engine.onEnsure = async () => {
    reached.resolve();
    await waiting.promise;
  };
  const preparing = extract(rig, "a", { target: "T1" });
  await reached.promise;
  await snapshotter.cleanup();
  await t.rejects(access(folder), { code: "ENOENT" }, "the folder is gone");
  t.same(engine.removed, [], "a layer that a Prepare waits for stays");
  waiting.resolve();
  await t.rejects(preparing, exists);
  await snapshotter.cleanup();
  t.same(engine.removed, []);
  await snapshotter.remove("T1");
  const removing = deferred<void>();
  const begun = deferred<void>();
  engine.onRemove = async () => {
    begun.resolve();
    await removing.promise;
  };
  const cleaning = snapshotter.cleanup();
  await begun.promise;
  const again = extract(rig, "a", { target: "T1" });
  removing.resolve();
  await cleaning;
  await t.rejects(again, exists);
  t.same(engine.removed, [digestOf("a")]);
  t.ok(engine.has(digestOf("a")), "who comes during a removal waits and has it made again");
});

t.test("mounts() says when a layer can't be mounted, and prepare() leaves nothing behind then", async (t) => {
  const rig = await rigFor(t);
  await t.rejects(extract(rig, "a", { target: "T" }), exists);
  rig.engine.onMount = async () => {
    throw unavailable("Cannot mount it", { reason: "mount-failed" });
  };
  const prepare = () => rig.snapshotter.view({ key: "k", parent: "T", labels: {} });
  await t.rejects(prepare(), { code: "UNAVAILABLE", reason: "mount-failed" });
  await t.rejects(prepare(), { code: "UNAVAILABLE" }, "the key is free again");
  t.equal(rig.engine.ensured.length, 1, "a layer that is there is not made again");
});

t.test("labelResolver() has a plain layer fetched whole, unless the client has its blob", async (t) => {
  const plain = (digit: string) => ({
    layer: {
      mediaType: "application/vnd.oci.image.layer.v1.tar+gzip",
      digest: digestOf(digit),
      size: 2_000_000,
      annotations: {},
      platform: undefined,
    },
    diffId: digestOf("9"),
  });
  const local = new Set<string>();
  const found: FoundLayer = {
    reference,
    ...plain("a"),
    manifestDigest: digestOf("e"),
    manifestAnnotations: { "com.amazon.soci.index-digest": digestOf("5") },
    neighbours: [plain("b")],
  };
  const hostContent = {
    hasBlob: async ({ digest }: { readonly digest: string }) => local.has(digest),
    findLayer: async () => found,
  };
  const ask = async (
    options: { soci?: SociIndexes; wholeBytesMin: number | undefined },
    query: { isNeeded?: boolean } = {},
  ) =>
    await labelResolver({ registry: noRegistry, hostContent, soci: undefined, ...options }).resolve({
      ...query,
      key: "default/1/extract",
      target: "T",
      labels: {},
      signal: new AbortController().signal,
    });
  const whole = { kind: "whole", diffId: digestOf("9") };
  t.match(await ask({ wholeBytesMin: 1_000_000 }), {
    request: { digest: digestOf("a"), index: whole },
    neighbours: [{ digest: digestOf("b"), index: whole }],
  });
  t.match(await ask({ wholeBytesMin: undefined }), { kind: "unknown", reason: "no-toc-digest" });
  t.match(await ask({ wholeBytesMin: 3_000_000 }), { kind: "unknown", reason: "layer-small" });
  const soci = new SociIndexes({ registry: noRegistry, takesAnnotation: true, takesReferrers: false });
  t.match(await ask({ soci, wholeBytesMin: 1_000_000 }), {
    request: { index: { kind: "soci", otherwise: whole } },
  });
  const none = new SociIndexes({ registry: noRegistry, takesAnnotation: false, takesReferrers: true });
  t.match(await ask({ soci: none, wholeBytesMin: undefined }), { request: { index: { kind: "soci" } } });
  local.add(digestOf("a"));
  t.match(await ask({ wholeBytesMin: 1_000_000 }), { kind: "unknown", reason: "blob-already-local" });
  t.match(await ask({ wholeBytesMin: 1_000_000 }, { isNeeded: true }), { request: { index: whole } });
  t.match(await ask({ soci, wholeBytesMin: 1_000_000 }), {
    request: { index: { kind: "soci", otherwise: undefined } },
    neighbours: [{ index: { kind: "soci", otherwise: undefined } }],
  });
});

t.test(
  "SociIndexes brings what an index says is read first, and layers without it where it can't",
  async (t) => {
    const layer = digestOf("a");
    const ztoc = { digest: digestOf("b"), size: 4 };
    const ranges = [{ first: 1, last: 3, priority: 0 }];
    const artifact = encodePrefetch(ranges);
    const prefetch = { digest: digestOf("c"), size: artifact.length, layerDigest: layer };
    const { bytes, mediaType, digest } = buildSociIndex({
      version: 2,
      buildTool: "test",
      prefetches: [prefetch],
      ztocs: [
        {
          ...ztoc,
          layerDigest: layer,
          layerMediaType: "application/vnd.oci.image.layer.v1.tar+gzip",
          spanSize: 65_536,
          disablesXattrs: false,
        },
      ],
    });
    const image = { reference, manifestDigest: undefined, manifestAnnotations: {}, labels: {} };
    const load = async (fetched: () => Buffer) => {
      const indexes = new SociIndexes({
        registry: {
          ...noRegistry,
          fetchManifest: async () => ({ bytes, mediaType, digest }),
          fetchBlobBytes: async (blob) => (blob.digest === ztoc.digest ? Buffer.from("ztoc") : fetched()),
        },
        takesAnnotation: true,
        takesReferrers: false,
      });
      return await indexes.loader(image, { kind: "digest", digest, from: "label" }, layer)({});
    };
    const found = { ztoc: Buffer.from("ztoc"), digest: ztoc.digest };
    t.same(await load(() => artifact), { ...found, prefetch: ranges });
    t.same(await load(() => Buffer.from("{}")), { ...found, prefetch: undefined });
    const gone = () => {
      throw unavailable("Cannot fetch: it is gone", { reason: "test" });
    };
    t.same(await load(gone), { ...found, prefetch: undefined });
  },
);
