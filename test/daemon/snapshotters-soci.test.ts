import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createClient } from "@connectrpc/connect";
import t from "tap";
import { Leases } from "../../gen/containerd/services/leases/v1/leases_pb.js";
import { createProxySnapshotter } from "../../src/snapshotters/index.js";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { command } from "../../testing/rig/command.js";
import { unmountBelow } from "../../testing/rig/containerd.js";
import { startDaemon } from "../../testing/rig/daemon.js";
import { startService } from "../../testing/rig/service.js";
import { socketTransport, withMounts } from "../../testing/snapshotter-suite/index.js";
import { fetchSoci, privateRoot } from "../soci/soci-tool.js";

const headers = { "containerd-namespace": "default" };

t.test("lazuli daemon takes Debian's soci-snapshotter-grpc as its plugin", async (t) => {
  await using cleanup = new Cleanup();
  const folder = await mkdtemp(join(tmpdir(), "lazuli-soci-plugin-"));
  cleanup.add(() => rm(folder, { recursive: true, force: true }));
  cleanup.add(() => unmountBelow(folder));
  const [socket, root] = [join(folder, "soci.sock"), join(folder, "soci")];
  const store = join(folder, "store");
  await mkdir(store);
  const soci = await startService({
    program: "unshare",
    args: [
      ...["-m", "bash", "-euc", `${privateRoot(store)}; exec "$@"`, "soci"],
      ...[join(await fetchSoci(), "soci-snapshotter-grpc"), "--address", socket],
      ...["--root", root, "--config", "/dev/null"],
    ],
    logFile: join(folder, "soci.log"),
    ready: socket,
  });
  cleanup.add(() => soci.stop());
  const daemon = await startDaemon({
    folder: join(folder, "daemon"),
    // As in soci's own guide for containerd.
    config: `
      [proxy_plugins.soci]
        type = "snapshot"
        address = "${socket}"
        [proxy_plugins.soci.exports]
          root = "${root}"
    `,
  });
  cleanup.add(() => daemon.stop());
  const { stdout } = await command("ctr", ["--address", daemon.address, "plugins", "ls"]);
  t.match(stdout, /io\.containerd\.snapshotter\.v1 +soci /);

  const context = () => ({ namespace: "default" });
  const snapshotter = createProxySnapshotter({ address: daemon.address, name: "soci", context });
  cleanup.add(() => snapshotter.close());
  const labels = { "containerd.io/gc.root": "now" };
  const mounts = await snapshotter.prepare({ key: "key", parent: "", labels });
  await withMounts(mounts, (place) => writeFile(join(place, "file"), "from below"));
  await snapshotter.commit({ name: "layer", key: "key", parent: "", labels });
  const view = await snapshotter.view({ key: "view", parent: "layer", labels });
  const read = (place: string): Promise<string> => readFile(join(place, "file"), "utf8");
  t.equal(await withMounts(view, read), "from below");
  t.match(await snapshotter.stat("layer"), { kind: "committed", parent: "", labels });
  await t.rejects(snapshotter.remove("layer"), { code: "FAILED_PRECONDITION" });
  await t.rejects(snapshotter.stat("none"), { code: "NOT_FOUND" });

  await snapshotter.remove("view");
  await snapshotter.remove("layer");
  const leases = createClient(Leases, socketTransport(daemon.address));
  await leases.create({ id: "now" }, { headers });
  await leases.delete({ id: "now", sync: true }, { headers });
  t.same(await readdir(join(root, "snapshotter/snapshots")), [], "collected through the plugin's socket");
});
