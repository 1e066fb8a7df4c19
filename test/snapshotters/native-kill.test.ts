import { mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import t, { type Test } from "tap";
import { failurePointNames } from "../../src/observe/index.js";
import { btrfsDisk } from "../../testing/rig/btrfs-disk.js";
import { command } from "../../testing/rig/command.js";
import { type Kind, openSnapshotter, treeOf } from "./native-workload.js";

const program = fileURLToPath(new URL("./native-workload.js", import.meta.url));
const PASSES_MAX = 20;
const KILLED = 137;
async function trees(root: string): Promise<string[]> {
  const folders = await readdir(root);
  const found = await Promise.all(
    folders.map(async (folder) => (await readdir(join(root, folder))).map((name) => `${folder}/${name}`)),
  );
  return found.flat().sort();
}

/** What a start after a kill makes of what it finds. */
async function check(t: Test, kind: Kind, folder: string): Promise<void> {
  await using opened = await openSnapshotter(kind, folder);
  const { snapshotter } = opened;
  await snapshotter.cleanup();
  const rows = snapshotter.table.rows();
  const wanted = rows.map((row) => treeOf(kind, row)).filter((tree) => tree !== undefined);
  const root = join(folder, "root");
  t.same(await trees(root), wanted.sort(), "a tree for each row, and no other");
  for (const row of rows.filter(({ kind }) => kind === "committed")) {
    t.equal(await readFile(join(root, treeOf(kind, row)!, row.name), "utf8"), row.name);
  }
  for (const row of rows.filter(({ kind }) => kind === "active")) {
    t.equal((await snapshotter.mounts(row.name)).length, 1);
    await snapshotter.commit({ key: row.name, name: `${row.name}-done`, parent: "", labels: {} });
  }
  const [key, parent] = ["next", rows.find(({ kind }) => kind === "committed")?.name ?? ""];
  await snapshotter.prepare({ key, parent, labels: {} });
  t.ok(
    rows.every(({ id }) => id < snapshotter.table.get(key).id),
    "a number that nothing had",
  );
}

async function killEverywhere(t: Test, kind: Kind): Promise<void> {
  const disk = await btrfsDisk(t);
  const own = failurePointNames().filter((name) => name.startsWith(`snapshots.${kind}.`));
  t.ok(own.length > 2, "it has failure points");
  for (const point of own) {
    for (let pass = 1; ; pass += 1) {
      const folder = join(disk, `${point}-${pass}`);
      await mkdir(folder);
      const args = ["--enable-source-maps", program, kind, folder, point, String(pass)];
      const { code } = await command(process.execPath, args, { allow: [KILLED] });
      await t.test(`${point}, pass ${pass}`, async (t) => await check(t, kind, folder));
      if (code === 0) {
        t.ok(pass > 1, `the work comes by ${point}`);
        break;
      }
      if (pass === PASSES_MAX) throw new Error(`${point} still fires at pass ${pass}`);
    }
  }
}

t.jobs = 2;
for (const kind of ["btrfs", "native"] as const) {
  void t.test(`a killed ${kind} snapshotter leaves what the next one can use`, async (t) => {
    await killEverywhere(t, kind);
  });
}
