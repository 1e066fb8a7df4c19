// @ts-check
// A snapshotter over plain directories, each one a whole copy of its parent:
//   node examples/directory-snapshotter.js /run/directory/snapshotter.sock /var/lib/directory
import { execFile } from "node:child_process";
import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { createStoredSnapshotter, now, openMetadata, serveSnapshotter } from "lazuli/snapshotter";

const run = promisify(execFile);
const [socket = "/run/directory/snapshotter.sock", root = "/var/lib/directory"] = process.argv.slice(2);
const trees = join(root, "trees");
/** Trees that are made, and may have no row yet. */
const unfinished = new Set();

/** @type {import("lazuli/snapshotter").SnapshotStorage} */
const storage = {
  idTaken: async () => Math.max(0, ...(await readdir(trees)).map((name) => Number.parseInt(name, 10))),

  async create({ id, parents }) {
    unfinished.add(id);
    const half = join(trees, `${id}.new`);
    if (parents[0] === undefined) await mkdir(half, { mode: 0o755 });
    else await run("cp", ["--archive", "--reflink=auto", join(trees, `${parents[0].id}`), half]);
    await run("sync", ["--file-system", half]);
    await rename(half, join(trees, `${id}`));
    await run("sync", [trees]);
    return { [Symbol.dispose]: () => void unfinished.delete(id) };
  },

  async mounts({ id, kind }) {
    const options = ["rbind", kind === "view" ? "ro" : "rw"];
    return [{ type: "bind", source: join(trees, `${id}`), target: "", options }];
  },

  async usage({ id }) {
    const measure = async (/** @type {string} */ unit) =>
      Number.parseInt((await run("du", ["--summarize", unit, join(trees, `${id}`)])).stdout, 10);
    return { size: await measure("--block-size=1"), inodes: await measure("--inodes") };
  },

  async commit(snapshot) {
    await run("sync", ["--file-system", trees]);
    return await this.usage(snapshot);
  },

  async remove(id, kindInUse) {
    if (kindInUse === undefined) await rm(join(trees, `${id}`), { recursive: true, force: true });
  },

  async removeUnknown(kindsInUse) {
    const names = await readdir(trees);
    for (const name of names) {
      const id = Number.parseInt(name, 10);
      const isKept = unfinished.has(id) || (kindsInUse().has(id) && name === `${id}`);
      if (!isKept) await rm(join(trees, name), { recursive: true, force: true });
    }
  },

  close: async () => undefined,
};

await mkdir(trees, { recursive: true, mode: 0o700 });
process.umask(0);
const metadata = await openMetadata({ directory: join(root, "metadata") });
const snapshotter = await createStoredSnapshotter({ name: "directory", metadata, storage, now });
const server = await serveSnapshotter(snapshotter, { socket });
process.once("SIGTERM", async () => {
  await server.close();
  await snapshotter.close();
  await metadata.close();
});
