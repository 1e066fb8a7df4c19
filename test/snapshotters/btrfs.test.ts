import { randomBytes } from "node:crypto";
import {
  chmod,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  utimes,
  writeFile,
} from "node:fs/promises";
import { join } from "node:path";
import t from "tap";
import { loadBinding } from "../../src/fuse/index.js";
import { createBtrfsStorage, type StoredSnapshot } from "../../src/snapshotters/index.js";
import { btrfsDisk } from "../../testing/rig/btrfs-disk.js";
import { command } from "../../testing/rig/command.js";
import { withMounts } from "../../testing/snapshotter-suite/mounting.js";

const binding = loadBinding();

function snapshotOf(id: number, kind: StoredSnapshot["kind"], ...parents: number[]): StoredSnapshot {
  return { id, kind, labels: {}, parents: parents.map((parent) => ({ id: parent, labels: {} })) };
}

async function names(root: string): Promise<string[]> {
  const folders = ["active", "view", "snapshots"];
  const found = await Promise.all(
    folders.map(async (folder) => (await readdir(join(root, folder))).map((name) => `${folder}/${name}`)),
  );
  return found.flat().sort();
}

async function subvolumes(root: string): Promise<string[]> {
  const { stdout } = await command("btrfs", ["subvolume", "list", root]);
  return stdout.split("\n").filter((line) => line !== "");
}

t.test("createBtrfsStorage() refuses a root on another file system, and says what to do", async (t) => {
  const root = await mkdtemp("/dev/shm/lazuli-no-btrfs-");
  t.teardown(async () => await rm(root, { recursive: true }));
  await t.rejects(createBtrfsStorage({ root, binding }), {
    code: "FAILED_PRECONDITION",
    reason: "root-not-btrfs",
    hint: /btrfs/,
  });
  await t.rejects(createBtrfsStorage({ root: "relative", binding }), { code: "INVALID_ARGUMENT" });
});

t.test("BtrfsStorage keeps trees as subvolumes", async (t) => {
  const disk = await btrfsDisk(t);
  const root = join(disk, "a root");
  const storage = await createBtrfsStorage({ root, binding });
  const umask = process.umask(0o077);
  using _first = await storage.create(snapshotOf(1, "active"));
  process.umask(umask);
  await writeFile(join(root, "active/1/file"), "one");
  await mkdir(join(root, "active/1/folder"));

  await t.test("create() makes an empty, writable one without a parent", async (t) => {
    t.equal((await stat(root)).mode & 0o7777, 0o700);
    t.equal((await stat(join(root, "active/1"))).mode & 0o7777, 0o755, "whatever the umask");
    const mounts = await storage.mounts(snapshotOf(1, "active"));
    t.match(mounts, [{ type: "btrfs", source: /^\/dev\/loop/, target: "", options: [/^subvolid=\d+$/] }]);
    await withMounts(mounts, async (folder) => await writeFile(join(folder, "mounted"), "m"));
    t.equal(await readFile(join(root, "active/1/mounted"), "utf8"), "m");
    t.equal(await storage.idTaken(), 1);
  });

  await t.test("commit() freezes what is there, and again what is there later", async (t) => {
    await storage.commit(snapshotOf(1, "active"));
    await writeFile(join(root, "active/1/late"), "late");
    await storage.commit(snapshotOf(1, "active"));
    t.same((await readdir(join(root, "snapshots/1"))).sort(), ["file", "folder", "late", "mounted"]);
    await t.rejects(writeFile(join(root, "snapshots/1/file"), "x"), { code: "EROFS" });
    await storage.removeUnknown(() => new Map([[1, "active" as const]]));
    t.same(await names(root), ["active/1", "snapshots/1"], "it may wait for its row");
    await storage.remove(1, "active");
    t.same(await names(root), ["active/1"], "its row was refused");
    await t.rejects(storage.commit(snapshotOf(1, "active"), { signal: AbortSignal.abort() }));
    await storage.commit(snapshotOf(1, "active"));
    await storage.remove(1, "committed");
    t.same(await names(root), ["snapshots/1"]);
    await storage.removeUnknown(() => new Map([[1, "committed" as const]]));
    t.same(await names(root), ["snapshots/1"]);
  });

  await t.test("create() starts from the parent; a view can't be written to", async (t) => {
    using _second = await storage.create(snapshotOf(2, "active", 1));
    using _third = await storage.create(snapshotOf(3, "view", 1));
    using _fourth = await storage.create(snapshotOf(4, "view"));
    t.equal(await readFile(join(root, "active/2/late"), "utf8"), "late");
    await withMounts(await storage.mounts(snapshotOf(3, "view", 1)), async (folder) => {
      t.equal(await readFile(join(folder, "file"), "utf8"), "one");
      await t.rejects(writeFile(join(folder, "file"), "x"), { code: "EROFS" });
    });
    await t.rejects(writeFile(join(root, "view/3/file"), "x"), { code: "EROFS" });
    await t.rejects(writeFile(join(root, "view/4/file"), "x"), { code: "EROFS" });
    t.match((await storage.mounts(snapshotOf(4, "view")))[0]?.options, [/^subvolid=\d+$/, "ro"]);
    t.same(await storage.usage(snapshotOf(3, "view", 1)), { size: 0, inodes: 0 });
    await storage.removeUnknown(() => new Map([[1, "committed" as const]]));
    t.same(await names(root), ["active/2", "snapshots/1", "view/3", "view/4"], "they wait for their rows");
  });

  await t.test("usage() counts what the parent has not, or otherwise", async (t) => {
    const second = snapshotOf(2, "active", 1);
    t.same(await storage.usage(second), { size: 0, inodes: 0 });
    await writeFile(join(root, "active/2/new"), randomBytes(100_000));
    await chmod(join(root, "active/2/folder"), 0o700);
    await command("sync", ["--file-system", root]);
    t.same(await storage.usage(second), { size: 102_400, inodes: 2 });
    await writeFile(join(root, "active/2/file"), "two");
    const past = new Date(1_000_000_000_000);
    await utimes(join(root, "active/2/file"), past, past);
    t.equal((await storage.usage(second)).inodes, 3, "of the same size");
    const usage = await storage.commit(second);
    t.equal(usage.inodes, 3);
    t.same(await storage.usage(second), usage, "as it was before it was frozen");
    await t.rejects(storage.usage(second, { signal: AbortSignal.abort() }), { name: "AbortError" });
  });

  await t.test("removeUnknown() deletes what has no row, or another one", async (t) => {
    await storage.removeUnknown(
      () =>
        new Map([
          [1, "committed" as const],
          [2, "committed" as const],
        ]),
    );
    t.same(await names(root), ["snapshots/1", "snapshots/2"]);
    await storage.remove(2, undefined);
    await storage.remove(2, undefined);
    t.same(await names(root), ["snapshots/1"]);
    t.equal((await subvolumes(root)).length, 1);
  });
});

t.test("create() and commit() are on disk when they return", async (t) => {
  const root = await btrfsDisk(t);
  const image = join(root, "../disk");
  // What a loss of power would leave: all that the file system keeps in memory is not in it.
  const onDisk = async (): Promise<string[]> => {
    const copy = `${image}.copy`;
    await command("cp", ["--sparse=always", image, copy]);
    const { stdout } = await command("btrfs", ["inspect-internal", "dump-tree", "-t", "1", copy]);
    return [...stdout.matchAll(/root ref key .* name (\d+)$/gm)].map((match) => match[1] ?? "").sort();
  };
  const storage = await createBtrfsStorage({ root, binding });
  using _first = await storage.create(snapshotOf(1, "active"));
  t.same(await onDisk(), ["1"]);
  using _second = await storage.create(snapshotOf(2, "view"));
  t.same(await onDisk(), ["1", "2"]);
  await storage.commit(snapshotOf(1, "active"));
  t.same(await onDisk(), ["1", "1", "2"]);
  using _third = await storage.create(snapshotOf(3, "active", 1));
  t.same(await onDisk(), ["1", "1", "2", "3"]);
  const umask = process.umask(0o077);
  using _fourth = await storage.create(snapshotOf(4, "active"));
  process.umask(umask);
  t.same(await onDisk(), ["1", "1", "2", "3", "4"]);
});

t.test("create(), commit() and remove() may be called for many at once", async (t) => {
  const root = await btrfsDisk(t);
  const storage = await createBtrfsStorage({ root, binding });
  const ids = Array.from({ length: 60 }, (_, index) => index + 1);
  const made = await Promise.all(ids.map(async (id) => await storage.create(snapshotOf(id, "active"))));
  for (const one of made) one[Symbol.dispose]();
  await Promise.all(ids.map(async (id) => await storage.commit(snapshotOf(id, "active"))));
  await Promise.all(ids.map(async (id) => await storage.remove(id, "committed")));
  t.same(await names(root), ids.map((id) => `snapshots/${id}`).sort());
});

t.test("commit() beside others of the same one leaves its frozen tree", async (t) => {
  const root = await btrfsDisk(t);
  const storage = await createBtrfsStorage({ root, binding });
  const first = snapshotOf(1, "active");
  (await storage.create(first))[Symbol.dispose]();
  await writeFile(join(root, "active/1/file"), "one");
  const commits = [1, 2, 3].map(async () => await storage.commit(first));
  const removal = commits[1]!.then(async () => await storage.remove(1, "committed"));
  const late = removal.then(async () => await storage.commit(first));
  t.same(
    (await Promise.all(commits)).map(({ inodes }) => inodes),
    [2, 2, 2],
  );
  await t.rejects(late, { code: "NOT_FOUND", reason: "tree-missing" });
  t.same(await names(root), ["snapshots/1"]);
  t.equal(await readFile(join(root, "snapshots/1/file"), "utf8"), "one");
});

t.test("remove() deletes the subvolumes that a container made", async (t) => {
  const root = await btrfsDisk(t);
  const storage = await createBtrfsStorage({ root, binding });
  using _first = await storage.create(snapshotOf(1, "active"));
  await command("btrfs", ["subvolume", "create", join(root, "bystander")]);
  const tree = join(root, "active/1");
  await mkdir(join(tree, "deep/er"), { recursive: true });
  for (const path of ["deep/er/first", "deep/er/first/second", "other"]) {
    await command("btrfs", ["subvolume", "create", join(tree, path)]);
  }
  await writeFile(join(tree, "deep/er/first/second/file"), randomBytes(8192));
  await command("btrfs", ["property", "set", join(tree, "deep/er/first"), "ro", "true"]);
  const usage = await storage.commit(snapshotOf(1, "active"));
  t.equal(usage.inodes, 5, "a frozen tree has none, but empty folders in their places");
  await storage.remove(1, undefined);
  t.match(await subvolumes(root), [/ bystander$/]);

  await mkdir(join(root, "active/7"));
  await t.rejects(storage.remove(7, undefined), { code: "EINVAL" }, "a folder is no subvolume");
  await storage.removeUnknown(() => new Map());
  t.match(await subvolumes(root), [/ bystander$/], "and stands for none");
});

t.test("usage() takes the accounts of quota groups where they are kept", async (t) => {
  const root = await btrfsDisk(t, { hasQuotas: true });
  await command("btrfs", ["quota", "rescan", "-w", root]);
  const storage = await createBtrfsStorage({ root, binding });
  const first = snapshotOf(1, "active");
  using _first = await storage.create(first);
  await writeFile(join(root, "active/1/large"), randomBytes(4 << 20));
  await writeFile(join(root, "active/1/twin"), randomBytes(1 << 20));
  const usage = await storage.commit(first);
  t.equal(usage.inodes, 3, "with the root");
  t.ok(usage.size >= 5 << 20 && usage.size < (5 << 20) + 65_536, `${usage.size} bytes with metadata`);
  await storage.remove(1, "committed");

  const second = snapshotOf(2, "active", 1);
  using _second = await storage.create(second);
  await readFile(join(root, "active/2/large"));
  // A copy that shares its extents takes no room of its own, which a walk would not see.
  await command("cp", ["--reflink=always", join(root, "active/2/large"), join(root, "active/2/copy")]);
  await rename(join(root, "active/2/twin"), join(root, "active/2/renamed"));
  const later = await storage.usage(second);
  t.ok(later.size > 0 && later.size < 131_072, `${later.size} bytes of metadata`);
  t.equal(later.inodes, 3, "the root, the copy and the one with another name; reading counts nothing");

  await command("btrfs", ["quota", "disable", root]);
  t.equal((await storage.usage(second)).size, 5 << 20, "walked: the copy and the other name");
});
