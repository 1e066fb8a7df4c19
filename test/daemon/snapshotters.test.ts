import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createClient } from "@connectrpc/connect";
import t from "tap";
import { Introspection } from "../../gen/containerd/services/introspection/v1/introspection_pb.js";
import { Leases } from "../../gen/containerd/services/leases/v1/leases_pb.js";
import { createProxySnapshotter, type ProxySnapshotter } from "../../src/snapshotters/index.js";
import { btrfsDisk } from "../../testing/rig/btrfs-disk.js";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { type CommandResult, command } from "../../testing/rig/command.js";
import { type Containerd, startContainerd, unmountBelow } from "../../testing/rig/containerd.js";
import { startDaemon } from "../../testing/rig/daemon.js";
import { projectRoot } from "../../testing/rig/lab.js";
import { type Service, startService } from "../../testing/rig/service.js";
import { startSnapshotter } from "../../testing/rig/snapshotter.js";
import { socketTransport, withMounts } from "../../testing/snapshotter-suite/index.js";

const NAMESPACE = "tests";

async function folderFor(cleanup: Cleanup): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-snapshotters-"));
  cleanup.add(() => rm(folder, { recursive: true, force: true }));
  cleanup.add(() => unmountBelow(folder));
  return folder;
}

/** Someone else's snapshotter, as far as the daemon can see. */
async function startOther(folder: string): Promise<Service & { socket: string }> {
  const socket = join(folder, "other.sock");
  const service = await startService({
    program: process.execPath,
    args: [join(projectRoot, "examples/directory-snapshotter.js"), socket, join(folder, "other")],
    logFile: join(folder, "other.log"),
    ready: socket,
  });
  return { ...service, socket };
}

function clientOf(cleanup: Cleanup, address: string, name: string): ProxySnapshotter {
  const client = createProxySnapshotter({ address, name, context: () => ({ namespace: NAMESPACE }) });
  cleanup.add(() => client.close());
  return client;
}

/** A layer with one file, and an active snapshot on it that shows the file. */
async function layerOn(snapshotter: ProxySnapshotter): Promise<string> {
  const labels = { "containerd.io/gc.root": "now" };
  const mounts = await snapshotter.prepare({ key: "key", parent: "", labels });
  await withMounts(mounts, (folder) => writeFile(join(folder, "file"), "from below"));
  await snapshotter.commit({ name: "layer", key: "key", parent: "", labels });
  const above = await snapshotter.prepare({ key: "above", parent: "layer", labels });
  return await withMounts(above, (folder) => readFile(join(folder, "file"), "utf8"));
}

async function collectNow(address: string): Promise<void> {
  const headers = { "containerd-namespace": NAMESPACE };
  const leases = createClient(Leases, socketTransport(address));
  await leases.create({ id: "now" }, { headers });
  await leases.delete({ id: "now", sync: true }, { headers });
}

async function keysIn(containerd: Containerd, namespace: string): Promise<string[]> {
  const { stdout } = await containerd.ctr(["--namespace", namespace, "snapshots", "ls"]);
  return stdout.trim().split("\n").slice(1);
}

t.test(
  "lazuli daemon serves its own snapshotters and those of others by name, and collects in each",
  async (t) => {
    await using cleanup = new Cleanup();
    const folder = await folderFor(cleanup);
    const other = await startOther(folder);
    cleanup.add(() => other.stop());
    const containerd = await startContainerd({ folder: join(folder, "containerd") });
    cleanup.add(() => containerd.stop());
    const disk = await btrfsDisk(t);
    const daemon = await startDaemon({
      folder: join(folder, "daemon"),
      config: `
      [snapshotters.copy]
      type = "native"
      [snapshotters.plain]
      type = "overlayfs"
      upperdir_label = true
      sync_remove = true
      [snapshotters.btrfs]
      type = "btrfs"
      root = "${join(disk, "lazuli")}"
      [proxy_plugins.other]
      type = "snapshot"
      address = "${other.socket}"
      capabilities = ["remap-ids"]
      exports = { root = "/there" }
      [proxy_plugins.host]
      type = "snapshot"
      address = "${containerd.address}"
      snapshotter = "overlayfs"
      namespace = "of-lazuli"
    `,
    });
    cleanup.add(() => daemon.stop());
    const names = ["overlayfs", "native", "copy", "plain", "btrfs", "other", "host"];

    const introspection = createClient(Introspection, socketTransport(daemon.address));
    const { plugins } = await introspection.plugins({ filters: ["type==io.containerd.snapshotter.v1"] });
    t.same(
      plugins.map(({ id }) => id),
      names,
    );
    t.match(plugins.at(-2), {
      capabilities: ["remap-ids"],
      exports: { root: "/there", address: other.socket },
    });
    const listed = await command("ctr", ["--address", daemon.address, "plugins", "ls"]);
    for (const name of names)
      t.match(listed.stdout, new RegExp(`io\\.containerd\\.snapshotter\\.v1 +${name} `));

    for (const name of names) {
      const snapshotter = clientOf(cleanup, daemon.address, name);
      t.equal(await layerOn(snapshotter), "from below", name);
      t.match(await snapshotter.stat("above"), { kind: "active", parent: "layer" });
      await t.rejects(snapshotter.remove("layer"), { code: "FAILED_PRECONDITION" });
    }
    await t.rejects(clientOf(cleanup, daemon.address, "nope").stat("x"), {
      code: "INVALID_ARGUMENT",
      message: "snapshotter not loaded: nope",
    });
    await collectNow(containerd.address);
    t.equal((await keysIn(containerd, "of-lazuli")).length, 2, "containerd's collector leaves what is ours");
    const upper = await clientOf(cleanup, daemon.address, "plain").stat("above");
    t.match(
      upper.labels["containerd.io/snapshot/overlay.upperdir"],
      /\/snapshotters\/plain\/snapshots\/\d+\/fs$/,
    );

    for (const name of names) {
      const snapshotter = clientOf(cleanup, daemon.address, name);
      await snapshotter.remove("above");
      await snapshotter.remove("layer");
    }
    await collectNow(daemon.address);
    const trees = ["snapshots", "snapshotters/copy/snapshots", "snapshotters/plain/snapshots"];
    for (const place of trees) t.same(await readdir(join(daemon.root, place)), [], place);
    t.same(await readdir(join(folder, "other/trees")), []);
    t.same(await keysIn(containerd, "of-lazuli"), []);
  },
);

t.test("lazuli daemon starts without a plugin, and uses it when it is there", async (t) => {
  await using cleanup = new Cleanup();
  const folder = await folderFor(cleanup);
  const plugin = `
    [proxy_plugins.other]
    type = "snapshot"
    address = "${join(folder, "other.sock")}"
    connect_timeout = "50ms"
  `;
  const daemon = await startDaemon({ folder: join(folder, "daemon"), config: plugin });
  const words = ["--address", daemon.address, "snapshots", "--snapshotter", "other"];
  const ctr = (...more: string[]): Promise<CommandResult> =>
    command("ctr", [...words, ...more], { allow: [0, 1] });
  const refused = await ctr("prepare", "early");
  t.match(refused, { code: 1, stderr: /other\.sock.*: unavailable/ });
  const first = await startOther(folder);
  t.match(await ctr("prepare", "kept"), { code: 0 });
  await first.stop("SIGKILL");
  const second = await startOther(folder);
  cleanup.add(() => second.stop());
  t.match((await ctr("ls")).stdout, /kept +Active/);
  await daemon.stop();
  t.match(await readFile(daemon.logFile, "utf8"), /A plugged-in snapshotter does not serve/);

  const changed = plugin
    .replace("proxy_plugins.other", "snapshotters.other")
    .replace(/address.*|connect.*/g, "");
  const program = join(projectRoot, "bin/lazuli");
  await writeFile(
    daemon.configFile,
    `${await readFile(daemon.configFile, "utf8")}`.replace(plugin, changed.replace('"snapshot"', '"native"')),
  );
  const result = await command(program, ["daemon", "--config", daemon.configFile], { allow: [9] });
  t.match(result, {
    code: 9,
    stderr: /want it without snapshots, got those of type proxy(.|\n)*hint: Remove/,
  });
  const check = await command(program, ["fsck", "--config", daemon.configFile]);
  t.equal(check.code, 0, "fsck takes no row for damage whose tree is behind a socket");
});

t.test(
  "lazuli snapshotter serves several on one socket by name, and others on sockets of their own",
  async (t) => {
    await using cleanup = new Cleanup();
    const folder = await folderFor(cleanup);
    const alone = join(folder, "alone", "native.sock");
    const lazuli = await startSnapshotter({
      folder: join(folder, "lazuli"),
      config: `
      [snapshotters.copy]
      type = "native"
      address = "${alone}"
      [snapshotters.plain]
      type = "overlayfs"
    `,
    });
    cleanup.add(() => lazuli.stop());
    const on = (address: string, name: string): ProxySnapshotter => clientOf(cleanup, address, name);
    for (const snapshotter of [
      on(lazuli.socket, "lazuli"),
      on(lazuli.socket, "plain"),
      on(alone, "any name"),
    ]) {
      await snapshotter.checkHealth();
      t.equal(await layerOn(snapshotter), "from below");
    }
    await t.rejects(on(lazuli.socket, "copy").checkHealth(), { message: "snapshotter not loaded: copy" });
    await t.rejects(on(lazuli.socket, "copy").stat("x"), { code: "INVALID_ARGUMENT" });
    t.equal((await lazuli.lazuli(["status"])).code, 0, "commands ask on the shared socket");

    const containerd = await startContainerd({
      folder: join(folder, "containerd"),
      snapshotter: { name: "plain", socket: lazuli.socket, root: lazuli.root },
    });
    cleanup.add(() => containerd.stop());
    await containerd.ctr(["snapshots", "--snapshotter", "plain", "prepare", "from-containerd"]);
    const listed = await containerd.ctr(["snapshots", "--snapshotter", "plain", "ls"]);
    t.match(listed.stdout, /from-containerd +Active/);
  },
);
