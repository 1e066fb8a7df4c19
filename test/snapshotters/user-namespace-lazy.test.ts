import { join } from "node:path";
import t from "tap";
import { openMetadata } from "../../src/metadata/index.js";
import {
  createLazySnapshotter,
  type IdMappingMode,
  type LayerResolver,
  openOverlayIdMapping,
} from "../../src/snapshotters/index.js";
import { buildEstargz } from "../../testing/estargz-builder.js";
import { EngineRig, requestOf } from "../../testing/layer/engine-rig.js";
import { command } from "../../testing/rig/command.js";
import { nowNanoseconds, syncFileSystem, withMounts } from "../../testing/snapshotter-suite/index.js";
import { binding, inNamespace, layer, mappedLabels, mountedBelow } from "./user-namespace-rig.js";

const TARGET = "containerd.io/snapshot.ref";
const blob = buildEstargz(
  [
    { name: "home/", type: "dir", uid: 1000, gid: 1001 },
    { name: "home/user", type: "reg", uid: 1000, gid: 1001, content: Buffer.from("lazy\n") },
    { name: "root", type: "reg", content: Buffer.from("root\n") },
  ],
  { chunkSize: 65_536, prioritized: 0, footer: "estargz" },
);
const OWNERS = "stat -c '%u:%g %n' . root home/user; cat home/user root";
const insideOwners = "0:0 .\n0:0 root\n1000:1001 home/user\nlazy\nroot\n";

async function openLazy(rig: EngineRig, mount: "erofs" | "fuse-tree", mode: IdMappingMode) {
  const engine = await rig.open({ mount });
  const { request, source } = requestOf({ ...blob, files: [], landmark: undefined });
  rig.sources.set(request.digest, source);
  const resolver: LayerResolver = {
    resolve: async () => ({ kind: "layer", request, neighbours: [] }),
  };
  const metadata = await openMetadata({ directory: join(rig.root, "metadata") });
  const folder = join(rig.state, "idmapped", "lazy");
  const snapshotter = await createLazySnapshotter({
    root: rig.root,
    binding,
    metadata,
    engine,
    resolver,
    now: nowNanoseconds,
    syncFileSystem,
    layerGraceMs: 0,
    idMapping: await openOverlayIdMapping({ binding, root: rig.root, folder, mode }),
  });
  return {
    engine,
    snapshotter,
    folder,
    close: async () => {
      await snapshotter.close();
      await metadata.close();
      await engine.close();
    },
  };
}

for (const mount of ["erofs", "fuse-tree"] as const) {
  t.test(`a lazy layer (${mount}) shows a user namespace its own owners`, async (t) => {
    await using rig = await EngineRig.make();
    const first = await openLazy(rig, mount, "mounts");
    const { snapshotter, engine } = first;
    await t.rejects(
      snapshotter.prepare({ key: "extract-1 lazy", parent: "", labels: { [TARGET]: "lazy" } }),
      {
        code: "ALREADY_EXISTS",
        reason: "remote-snapshot-prepared",
      },
    );
    t.equal(engine.list().length, 1);
    await layer(snapshotter, "above", "lazy", "echo above > above; chown 7:8 above");
    for (const [parent, owner] of [
      ["lazy", ""],
      ["above", "7:8\n"],
    ] as const) {
      const mounts = await snapshotter.prepare({ key: `on-${parent}`, parent, labels: mappedLabels });
      await withMounts(mounts, async (mounted) => {
        t.equal((await inNamespace(mounted, OWNERS)).stdout, insideOwners);
        const { stdout } = await command("stat", ["-c", "%u:%g", "home/user"], { cwd: mounted });
        t.equal(stdout, "101000:201001\n");
        const done = await inNamespace(
          mounted,
          "echo more >> home/user; touch home/new; mv root moved; stat -c '%u:%g' home/user home/new moved; cat home/user",
        );
        t.equal(done.stdout, "1000:1001\n0:0\n0:0\nlazy\nmore\n", done.stderr);
        if (owner !== "") t.equal((await inNamespace(mounted, "stat -c '%u:%g' above")).stdout, owner);
      });
    }
    const view = await snapshotter.view({ key: "view", parent: "lazy", labels: mappedLabels });
    t.match(view, [{ type: "bind" }]);
    await withMounts(view, async (mounted) => {
      t.equal((await inNamespace(mounted, OWNERS)).stdout, insideOwners);
    });
    const count = (await mountedBelow(first.folder)).length;
    t.ok(count === 2 || count === 3, "both layers, and the lazy one past FUSE if it was complete by then");
    await first.close();

    const second = await openLazy(rig, mount, "mounts");
    t.equal((await mountedBelow(second.folder)).length, 1, "a layer of the engine is mounted anew");
    const again = await second.snapshotter.mounts("on-above");
    await withMounts(again, async (mounted) => {
      t.equal(
        (await inNamespace(mounted, "cat home/user; stat -c '%u:%g' home/new")).stdout,
        "lazy\nmore\n0:0\n",
      );
    });
    t.equal((await mountedBelow(second.folder)).length, 2);
    for (const key of ["on-lazy", "on-above", "view"]) await second.snapshotter.remove(key);
    t.same(await mountedBelow(second.folder), [], "with its last snapshot, before any cleaning up");
    for (const name of ["above", "lazy"]) await second.snapshotter.remove(name);
    await second.snapshotter.cleanup();
    await second.snapshotter.cleanup();
    t.same(second.engine.list(), []);
    await second.close();
  });
}

t.test("a lazy layer is copied where owners are to be changed", async (t) => {
  await using rig = await EngineRig.make();
  const { snapshotter, close } = await openLazy(rig, "erofs", "chown");
  await t.rejects(snapshotter.prepare({ key: "extract-1 lazy", parent: "", labels: { [TARGET]: "lazy" } }), {
    code: "ALREADY_EXISTS",
    reason: "remote-snapshot-prepared",
  });
  const mounts = await snapshotter.prepare({ key: "box", parent: "lazy", labels: mappedLabels });
  await withMounts(mounts, async (mounted) => {
    t.equal((await inNamespace(mounted, OWNERS)).stdout, insideOwners);
  });
  await close();
});

t.test("a layer whose parent is named at the commit is left to the client", async (t) => {
  await using rig = await EngineRig.make();
  const { snapshotter, engine, close } = await openLazy(rig, "erofs", "mounts");
  const labels = { [TARGET]: "second", "containerd.io/snapshot/parent-chain-id": "first" };
  t.match(await snapshotter.prepare({ key: "extract-1 second", parent: "", labels }), [{ type: "bind" }]);
  t.match(snapshotter.rows(), [{ kind: "active", fallback: { reason: "parallel-unpack" } }]);
  t.same(engine.list(), []);
  await close();
});
