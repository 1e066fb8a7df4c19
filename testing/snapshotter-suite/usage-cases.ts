import { link, lstat, mkdir, open, readdir, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { SnapshotUsage } from "../../src/snapshotters/index.js";
import { command } from "../rig/command.js";
import { withMounts } from "./mounting.js";
import { cases, type SuiteCases } from "./suite-case.js";
import type { SuiteRig } from "./suite-rig.js";

/** `st_blocks` counts in these units (stat(2)). */
const BLOCK_BYTES = 512;
const MEBIBYTE = 1024 * 1024;

/** What files hold on disk, each inode once. */
async function held(folder: string, names: readonly string[]): Promise<SnapshotUsage> {
  const seen = new Set<string>();
  let size = 0;
  for (const name of names) {
    const { dev, ino, blocks } = await lstat(join(folder, name), { bigint: true });
    const inode = `${dev}:${ino}`;
    if (seen.has(inode)) continue;
    seen.add(inode);
    size += Number(blocks) * BLOCK_BYTES;
  }
  return { size, inodes: seen.size };
}

/** Where blocks are allocated late, their number is only right after a sync. */
async function sync(folder: string): Promise<void> {
  await command("sync", ["--file-system", folder]);
}

async function fillBase(folder: string): Promise<void> {
  await mkdir(join(folder, "dir"));
  await writeFile(join(folder, "dir/large"), Buffer.alloc(MEBIBYTE, 7));
  await link(join(folder, "dir/large"), join(folder, "linked"));
  await symlink("dir/large", join(folder, "symlink"));
  await writeFile(join(folder, "small"), "x");
  const sparse = await open(join(folder, "sparse"), "w");
  await sparse.truncate(1024 * MEBIBYTE);
  await sparse.write(Buffer.alloc(4096, 1), 0, 4096, 512 * MEBIBYTE);
  await sparse.close();
  await writeFile(join(folder, "holes-only"), "");
  await truncate(join(folder, "holes-only"), MEBIBYTE);
}

const allOf = async (folder: string): Promise<string[]> => [
  ".",
  ...(await readdir(folder, { recursive: true })),
];

/** Also where its files are shared with others: what is counted is what can be read. */
async function exact(rig: SuiteRig): Promise<void> {
  const { snapshotter, t } = rig;
  const [key, base] = [rig.name("key"), rig.name("base")];
  const wanted = await withMounts(await rig.prepare(key), async (folder) => {
    await fillBase(folder);
    await sync(folder);
    return await held(folder, await allOf(folder));
  });
  t.same(await snapshotter.usage(key), wanted, "an active one's links, holes and folders");
  t.ok(wanted.size < 3 * MEBIBYTE, "holes are no blocks, and a link is no copy");
  await rig.commit(base, key);
  t.same(await snapshotter.usage(base), wanted, "committed");

  const [above, top, view] = [rig.name("above"), rig.name("top"), rig.name("view")];
  const onBase = await withMounts(await rig.prepare(above, base), async (folder) => {
    await mkdir(join(folder, "new-dir"));
    await writeFile(join(folder, "new-dir/new"), Buffer.alloc(MEBIBYTE / 2, 3));
    await link(join(folder, "new-dir/new"), join(folder, "new-link"));
    await writeFile(join(folder, "small"), "changed");
    await sync(folder);
    const changed = ["new-dir", "new-dir/new", "new-link", "small"];
    const names = { own: [".", ...changed], difference: changed, tree: await allOf(folder) };
    return await held(folder, names[rig.traits.usage!]);
  });
  t.same(await snapshotter.usage(above), onBase, "above a parent");
  await rig.commit(top, above);
  t.same(await snapshotter.usage(top), onBase, "committed above a parent");
  await rig.view(view, top);
  t.same(await snapshotter.usage(view), { size: 0, inodes: 0 }, "a view has nothing of its own");
  await rig.refuses("remove what is in use", "FAILED_PRECONDITION", snapshotter.remove(top));
  t.same(await snapshotter.usage(base), wanted, "what is above counts for itself");
  await rig.removeOwn();
}

/** Cases about Usage. */
export const usageCases: SuiteCases = {
  ...cases([], {
    UsageFollows: async (rig) => {
      const key = rig.name("key");
      const mounts = await rig.prepare(key);
      const usage = async () => await rig.snapshotter.usage(key);
      const empty = await usage();
      await withMounts(mounts, async (folder) => {
        await writeFile(join(folder, "large"), Buffer.alloc(4 * MEBIBYTE, 7));
        await sync(folder);
        const full = await usage();
        rig.t.ok(full.size - empty.size >= 4 * MEBIBYTE, `${full.size} bytes with a large file`);
        rig.t.equal(full.inodes, empty.inodes + 1);
        await rm(join(folder, "large"));
        await sync(folder);
      });
      const again = await usage();
      rig.t.ok(again.size < empty.size + MEBIBYTE, `${again.size} bytes without it`);
      rig.t.equal(again.inodes, empty.inodes);
    },
  }),
  ...cases(["usage"], { Usage: exact }),
};
