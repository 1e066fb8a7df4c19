import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { createProxySnapshotter } from "../../src/snapshotters/index.js";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { command } from "../../testing/rig/command.js";
import { startContainerd, unmountBelow } from "../../testing/rig/containerd.js";
import { oddRegistry, projectRoot } from "../../testing/rig/lab.js";
import { mountImage } from "../../testing/rig/mounted-image.js";
import { type Service, startService } from "../../testing/rig/service.js";
import { treeListing } from "../../testing/rig/tree-listing.js";

const example = join(projectRoot, "examples/directory-snapshotter.js");

async function startExample(folder: string): Promise<{ socket: string; service: Service }> {
  const socket = join(folder, "directory.sock");
  const service = await startService({
    program: process.execPath,
    args: [example, socket, join(folder, "root")],
    logFile: join(folder, "example.log"),
    ready: socket,
  });
  return { socket, service };
}

async function folderFor(cleanup: Cleanup): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-example-"));
  cleanup.add(() => rm(folder, { recursive: true, force: true }));
  cleanup.add(() => unmountBelow(folder));
  return folder;
}

t.test(
  "examples/directory-snapshotter.js is plugged into a real containerd, which pulls and runs",
  async (t) => {
    await using cleanup = new Cleanup();
    const folder = await folderFor(cleanup);
    const registry = await oddRegistry(cleanup);
    const { socket, service } = await startExample(folder);
    cleanup.add(() => service.stop());
    const containerd = await startContainerd({
      folder: join(folder, "containerd"),
      snapshotter: { name: "directory", socket, root: join(folder, "root") },
    });
    cleanup.add(() => containerd.stop());
    const image = `${registry.host}/odd:esgz`;
    for (const name of ["directory", "overlayfs"])
      await containerd.ctr(["images", "pull", "--plain-http", "--snapshotter", name, image]);

    const words = ["run", "--rm", "--snapshotter", "directory", image, "one", "cat", "/last"];
    t.equal((await containerd.ctr(words)).stdout, "last\n");
    const listOn = async (snapshotter: string): Promise<string[]> => {
      await using view = await mountImage({ containerd, image, snapshotter, below: folder });
      // overlayfs still counts the hard link that an upper layer took away.
      return (await treeListing(view.folder)).filter((line) => !/^hard\/(one|two)\|/.test(line));
    };
    t.same(
      await listOn("directory"),
      await listOn("overlayfs"),
      "the tree is that of containerd's overlayfs",
    );

    const { stdout } = await containerd.ctr(["snapshots", "--snapshotter", "directory", "ls"]);
    t.equal(stdout.match(/Committed/g)?.length, 3, "a snapshot a layer");
    await containerd.ctr(["images", "rm", "--sync", image]);
    t.same(await readdir(join(folder, "root/trees")), [], "containerd has cleaned up");
  },
);

t.test(
  "examples/directory-snapshotter.js keeps its snapshots over a kill, and deletes what has no row",
  async (t) => {
    await using cleanup = new Cleanup();
    const folder = await folderFor(cleanup);
    const first = await startExample(folder);
    const before = createProxySnapshotter({ address: first.socket, name: "any" });
    await before.prepare({ key: "kept", parent: "", labels: {} });
    await before.close();
    await first.service.stop("SIGKILL");
    await command("mkdir", [join(folder, "root/trees/7"), join(folder, "root/trees/8.new")]);
    const { socket, service } = await startExample(folder);
    cleanup.add(() => service.stop());
    const snapshotter = createProxySnapshotter({ address: socket, name: "any" });
    cleanup.add(() => snapshotter.close());
    t.match(await snapshotter.stat("kept"), { kind: "active" });
    await snapshotter.cleanup();
    t.same(await readdir(join(folder, "root/trees")), ["1"]);
    await snapshotter.prepare({ key: "next", parent: "", labels: {} });
    t.ok((await readdir(join(folder, "root/trees"))).includes("9"), "numbers are never used again");
  },
);
