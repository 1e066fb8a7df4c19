import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { sha256 } from "../../src/bytes/index.js";
import { failedPrecondition } from "../../src/errors/index.js";
import { serveGrpc, snapshotsService } from "../../src/services/index.js";
import type { LayerResolver } from "../../src/snapshotters/index.js";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { command } from "../../testing/rig/command.js";
import { startContainerd } from "../../testing/rig/containerd.js";
import { startDockerRegistry } from "../../testing/rig/docker-registry.js";
import { writeOciArchive } from "../../testing/rig/oci-archive.js";
import { lazyRig } from "../../testing/snapshotter-suite/index.js";

/** Takes every layer for a lazy one, named after its chain id. */
const anyLayer: LayerResolver = {
  resolve: async ({ target }) => ({
    kind: "layer",
    neighbours: [],
    request: {
      digest: sha256(Buffer.from(target)),
      mediaType: "",
      index: { kind: "estargz", tocDigest: sha256(Buffer.from("toc")) },
      origin: { reference: "registry.example/app", size: undefined },
      openSource: async () => await Promise.reject(new Error("this test opens no blob")),
    },
  }),
};

async function archiveWithTwoLayers(folder: string): Promise<string> {
  const layers: string[] = [];
  for (const name of ["below", "above"]) {
    const tree = join(folder, name);
    await mkdir(tree, { recursive: true });
    await writeFile(join(tree, `${name}.txt`), name);
    await command("tar", ["-C", tree, "-cf", `${tree}.tar`, "."]);
    layers.push(`${tree}.tar`);
  }
  const archive = join(folder, "image.tar");
  await writeOciArchive({ layers, config: {}, name: "app:latest", archive });
  return archive;
}

await t.test("a real containerd pulls onto lazuli, lazily and not", async (t) => {
  await using cleanup = new Cleanup();
  const folder = await mkdtemp(join(tmpdir(), "lazuli-ctr-"));
  cleanup.add(async () => await rm(folder, { recursive: true, force: true }));
  const rig = await lazyRig({ resolver: anyLayer, layerGraceMs: 0 });
  cleanup.add(rig.dispose);
  const socket = join(rig.folder, "s");
  const server = await serveGrpc({
    socketPath: socket,
    mode: 0o600,
    routes: [snapshotsService(rig.snapshotter)],
  });
  cleanup.add(server.close);
  const registry = await startDockerRegistry({ folder: join(folder, "registry") });
  cleanup.add(async () => await registry.stop());
  const archive = await archiveWithTwoLayers(folder);
  const image = `${registry.host}/app:latest`;
  await command("skopeo", ["copy", "--dest-tls-verify=false", `oci-archive:${archive}`, `docker://${image}`]);
  const containerd = await startContainerd({
    folder: join(folder, "containerd"),
    snapshotter: { name: "lazuli", socket, root: rig.folder },
  });
  cleanup.add(containerd.stop);
  const ctr = async (...args: string[]) => (await containerd.ctr(args)).stdout;
  const pull = async (namespace: string) =>
    await containerd.ctrRemote([
      "-n",
      namespace,
      "i",
      "rpull",
      "--plain-http",
      "--snapshotter",
      "lazuli",
      image,
    ]);
  const namesOf = async (namespace: string) =>
    (await ctr("-n", namespace, "snapshots", "--snapshotter", "lazuli", "ls"))
      .trim()
      .split("\n")
      .slice(1)
      .map((line) => line.split(/\s+/)[0]!);

  await pull("one");
  await pull("two");
  t.same(
    rig.snapshotter.rows().map((row) => row.layerDigest !== undefined),
    [true, true],
    "two lazy layers, shared by both namespaces",
  );
  t.same((await namesOf("one")).length, 2);
  t.same(await namesOf("two"), await namesOf("one"));
  const blobs = await ctr("-n", "one", "content", "ls");
  t.equal(blobs.trim().split("\n").length - 1, 2, "only manifest and config were fetched");
  const top = rig.snapshotter.rows().find((row) => row.parent !== "")!.name;
  const mounts = await ctr(
    "-n",
    "two",
    "snapshots",
    "--snapshotter",
    "lazuli",
    "prepare",
    "--mounts",
    "c",
    top,
  );
  t.match(mounts, /lowerdir=[^ ]+layers[^ ]+:[^ ]+layers/);
  await ctr("-n", "two", "snapshots", "--snapshotter", "lazuli", "rm", "c");

  rig.engine.onEnsure = async (request) => {
    if (request.digest === sha256(Buffer.from(top))) throw failedPrecondition("no", { reason: "odd-layer" });
  };
  for (const namespace of ["one", "two"]) await ctr("-n", namespace, "images", "rm", "--sync", image);
  t.same(rig.snapshotter.rows(), [], "garbage collection removes the snapshots");
  t.equal(rig.engine.removed.length, 2, "and with the last one the layers");
  await pull("three");
  const above = rig.snapshotter.rows().find((row) => row.parent !== "");
  t.match(above, { kind: "committed", layerDigest: undefined, fallback: { reason: "odd-layer" } });
  const { size } = await rig.snapshotter.usage(above!.name);
  t.ok(size > 0, "containerd has unpacked the layer that could not be lazy");
});
