import { access, chmod, copyFile, mkdir, mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { connect } from "../../src/client/index.js";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { command } from "../../testing/rig/command.js";
import { startDaemon } from "../../testing/rig/daemon.js";
import { writeOciArchive } from "../../testing/rig/oci-archive.js";

const NAMESPACE = `private-${process.pid}`;
const STRANGER = 54_321;
const image = "private.test/box:1";
const anyCode = Array.from({ length: 256 }, (_, code) => code);

t.setTimeout(120_000);

async function startPrivate(labels: Readonly<Record<string, string>>) {
  const cleanup = new Cleanup();
  const folder = await mkdtemp(join(tmpdir(), "lazuli-private-"));
  cleanup.add(() => rm(folder, { recursive: true, force: true }));
  cleanup.add(() => rm(`/run/containerd/runc/${NAMESPACE}`, { recursive: true, force: true }));
  // What is private is so by the daemon's own folders.
  await chmod(folder, 0o755);
  const tree = join(folder, "tree");
  await mkdir(join(tree, "bin"), { recursive: true });
  await copyFile("/bin/busybox", join(tree, "bin/busybox"));
  for (const name of ["sh", "sleep"]) await symlink("busybox", join(tree, "bin", name));
  await command("tar", ["-C", tree, "--numeric-owner", "-cf", join(folder, "layer.tar"), "."]);
  const archive = join(folder, "image.tar");
  await writeOciArchive({
    layers: [join(folder, "layer.tar")],
    config: { Cmd: ["/bin/sleep", "1000"], Env: ["SECRET=value"], Labels: labels },
    name: image,
    archive,
  });
  const daemon = await startDaemon({ folder });
  cleanup.add(() => daemon.stop());
  const ctr = (...words: string[]) =>
    command("ctr", ["--address", daemon.address, "--namespace", NAMESPACE, ...words], { allow: anyCode });
  cleanup.add(async () => void (await ctr("tasks", "rm", "-f", "one")));
  const { code, stderr } = await ctr("images", "import", archive);
  if (code !== 0) throw new Error(stderr);
  return { folder, daemon, ctr, [Symbol.asyncDispose]: () => cleanup[Symbol.asyncDispose]() };
}

t.test("another user reads nothing of a container's bundle, and reaches no socket", async (t) => {
  await using lab = await startPrivate({});
  const { ctr, folder, daemon } = lab;
  t.equal((await ctr("run", "-d", image, "one")).code, 0);
  const bundle = join(folder, "state/io.containerd.runtime.v2.task", NAMESPACE, "one");
  const secrets = [
    join(bundle, "config.json"),
    join(bundle, "log"),
    join(bundle, "rootfs/bin/busybox"),
    daemon.root,
    join(daemon.root, "snapshots"),
  ];
  const asStranger = async (line: string, path: string): Promise<number> =>
    (
      await command(
        "setpriv",
        [`--reuid=${STRANGER}`, `--regid=${STRANGER}`, "--clear-groups", "sh", "-c", line, "sh", path],
        { allow: anyCode },
      )
    ).code;
  for (const path of secrets) {
    await access(path);
    t.equal((await asStranger('[ -d "$1" ] && ls "$1" || [ -p "$1" ] || cat "$1"', path)) === 0, false, path);
  }
  for (const address of [daemon.address, `${daemon.address}.ttrpc`]) {
    t.not(await asStranger('test -w "$1"', address), 0, address);
  }
  t.equal(await asStranger('test -d "$1"', folder), 0, "it was not the folder around it");
});

t.test("labels of an image become no labels of its container, its snapshot or its content", async (t) => {
  const hostile = {
    "containerd.io/restart.status": "running",
    "containerd.io/restart.loguri": "binary:///bin/false",
    "containerd.io/gc.root": "1",
    "containerd.io/snapshot/overlay.upperdir": "/etc",
    "containerd.io/namespace.shareable": "true",
  };
  await using lab = await startPrivate(hostile);
  using client = connect({ address: lab.daemon.address, namespace: NAMESPACE });
  const found = await client.image(image);
  await client.createContainer({ id: "one", image: found });
  const told = [];
  for (const words of ["containers info one", "images ls", "snapshots info one", "content ls"]) {
    told.push((await lab.ctr(...words.split(" "))).stdout);
  }
  t.match(told[0], /"ID": "one"/);
  for (const name of Object.keys(hostile)) t.notMatch(told.join("\n"), name);
});
