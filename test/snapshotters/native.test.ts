import {
  chmod,
  link,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t, { type Test } from "tap";
import { type CancellableCall, loadBinding, type NativeTrees } from "../../src/fuse/index.js";
import {
  createNativeStorage,
  type NativeStorageOptions,
  type SnapshotStorage,
  type StoredSnapshot,
} from "../../src/snapshotters/index.js";
import { btrfsDisk } from "../../testing/rig/btrfs-disk.js";
import { command } from "../../testing/rig/command.js";
import { treeListing } from "../../testing/rig/tree-listing.js";

const binding = loadBinding();

async function syncFileSystem(folder: string): Promise<void> {
  const opened = await open(folder);
  try {
    await binding.syncfs(opened.fd);
  } finally {
    await opened.close();
  }
}

function snapshotOf(id: number, kind: StoredSnapshot["kind"], ...parents: number[]): StoredSnapshot {
  return { id, kind, labels: {}, parents: parents.map((parent) => ({ id: parent, labels: {} })) };
}

interface Place {
  readonly root: string;
  readonly trees: string;
  readonly storage: SnapshotStorage;
}

async function place(t: Test, base = tmpdir(), options: Partial<NativeStorageOptions> = {}): Promise<Place> {
  const root = await mkdtemp(join(base, "lazuli-native-"));
  t.teardown(async () => await binding.trees.remove(root));
  const storage = await createNativeStorage({ root, binding, syncFileSystem, ...options });
  return { root, trees: join(root, "snapshots"), storage };
}

/** Everything that a tree can hold. */
async function fill(folder: string): Promise<void> {
  const script = String.raw`
    umask 0
    mkdir -p dir/sub sticky; chmod 1777 sticky; chmod 2751 dir; chown 1000:1001 dir
    echo one > dir/one; ln dir/one two; ln dir/one dir/sub/three; chmod 4755 two
    cp /bin/true capable; setfattr -n security.capability -v 0x0100000200040000000000000000000000000000 capable
    setfattr -n user.note -v "a note" dir/one; setfattr -n user.empty dir; setfattr -n trusted.mark -v x sticky
    mkfifo fifo; chmod 620 fifo; mknod disk b 8 17; mknod none c 0 0; chown 5:6 disk
    ln -s /nowhere absolute; chown -h 7:8 absolute; setfattr -h -n trusted.link -v l absolute
    truncate -s 20M sparse; echo middle | dd of=sparse bs=1 seek=9000000 conv=notrunc status=none
    echo late >> sparse
    : > empty; touch "$(printf 'odd\xff\xfename')" "with space" "$(printf 'line\nbreak')"
    touch -d '1969-12-31 00:00:00.123456789 UTC' -h absolute empty dir/sub
  `;
  await command("bash", ["-euc", script], { cwd: folder });
}

t.test("NativeStorage keeps whole copies", async (t) => {
  const { trees, storage } = await place(t);
  const first = snapshotOf(1, "active");
  using _first = await storage.create(first);
  await fill(join(trees, "1"));
  const listing = await treeListing(join(trees, "1"));
  const frozen = await storage.commit(first);

  await t.test("create() copies all that the parent's tree has", async (t) => {
    const second = snapshotOf(2, "active", 1);
    using _second = await storage.create(second);
    t.same(await treeListing(join(trees, "2")), listing);
    const [parent, child] = await Promise.all(
      ["1/sparse", "2/sparse"].map(async (name) => await stat(join(trees, name))),
    );
    t.equal(child?.blocks, parent?.blocks, "with its holes");
    t.same(await storage.usage(second), frozen, "and takes as much room");
    const times = await Promise.all(
      ["1", "2"].map(async (name) => (await stat(join(trees, name, "dir/sub"), { bigint: true })).mtimeNs),
    );
    t.same(times, [times[0], times[0]], "times to the nanosecond");
    t.same(await storage.mounts(second), [
      { type: "bind", source: join(trees, "2"), target: "", options: ["rbind", "rw"] },
    ]);
    await writeFile(join(trees, "2/dir/one"), "changed");
    t.equal(await readFile(join(trees, "1/two"), "utf8"), "one\n", "and is another one");
  });

  await t.test("a view of a parent needs no folder", async (t) => {
    const third = snapshotOf(3, "view", 1);
    using _third = await storage.create(third);
    t.same((await readdir(trees)).sort(), ["1", "2"]);
    t.same(await storage.mounts(third), [
      { type: "bind", source: join(trees, "1"), target: "", options: ["rbind", "ro"] },
    ]);
    t.same(await storage.usage(third), { size: 0, inodes: 0 });
    using _fourth = await storage.create(snapshotOf(4, "view"));
    t.match(await storage.mounts(snapshotOf(4, "view")), [
      { source: join(trees, "4"), options: ["rbind", "ro"] },
    ]);
  });

  await t.test("removeUnknown() deletes what has no row", async (t) => {
    await mkdir(join(trees, "new-9/half"), { recursive: true });
    t.equal(await storage.idTaken(), 9);
    await storage.removeUnknown(() => new Map([[1, "committed" as const]]));
    t.same(await readdir(trees), ["1"]);
    await storage.remove(1, "committed");
    t.same(await readdir(trees), ["1"]);
    await storage.remove(1, undefined);
    await storage.remove(1, undefined);
    t.same(await readdir(trees), []);
  });
});

t.test("create() leaves nothing of a copy that was cancelled or failed", async (t) => {
  const calls: string[] = [];
  const controller = new AbortController();
  const spied: NativeTrees = {
    ...binding.trees,
    copy: (source, target): CancellableCall<void> => {
      calls.push(target);
      let cancel = (): void => undefined;
      const cancelled = new Promise<void>((_resolve, reject) => {
        cancel = () => reject(Object.assign(new Error("cancelled"), { code: "ECANCELED" }));
      });
      const copying = binding.trees.copy(source, target).done.then(() => controller.abort());
      return { done: Promise.all([copying, cancelled]).then(() => undefined), cancel: () => cancel() };
    },
  };
  const { trees, storage } = await place(t, tmpdir(), { binding: { trees: spied } });
  using _first = await storage.create(snapshotOf(1, "active"));
  await fill(join(trees, "1"));
  const { signal } = controller;
  await t.rejects(storage.create(snapshotOf(2, "active", 1), { signal }), { name: "AbortError" });
  t.equal(calls.length, 1, "it was under way");
  t.same(await readdir(trees), ["1"]);
  const own = await createNativeStorage({ root: join(trees, ".."), binding, syncFileSystem });
  await t.rejects(own.create(snapshotOf(3, "active", 77)), { code: "ENOENT" });
  t.same(await readdir(trees), ["1"]);
});

t.test("removeUnknown() leaves alone what is being made, and keeps out of what is mounted", async (t) => {
  const { trees, storage } = await place(t);
  const first = await storage.create(snapshotOf(1, "active"));
  await storage.removeUnknown(() => new Map());
  t.same(await readdir(trees), ["1"]);
  const inner = join(trees, "1/inner");
  await mkdir(inner);
  await command("mount", ["-t", "tmpfs", "none", inner]);
  await writeFile(join(inner, "precious"), "");
  first[Symbol.dispose]();
  await storage.removeUnknown(() => new Map());
  t.same(await readdir(inner), ["precious"]);
  await command("umount", [inner]);
  await storage.removeUnknown(() => new Map());
  t.same(await readdir(trees), []);
});

t.test(
  "create() shares extents where the file system can, and copies trees deeper than a path",
  async (t) => {
    const disk = await btrfsDisk(t);
    const { trees, storage } = await place(t, disk);
    using _first = await storage.create(snapshotOf(1, "active"));
    await command("bash", ["-euc", "head -c 8000000 /dev/urandom > large"], { cwd: join(trees, "1") });
    const name = "d".repeat(200);
    await command(
      "bash",
      ["-euc", `for i in $(seq 30); do mkdir ${name}; cd ${name}; done; echo deep > file`],
      {
        cwd: join(trees, "1"),
      },
    );
    const { inodes } = await storage.commit(snapshotOf(1, "active"));
    t.equal(inodes, 33);
    using _second = await storage.create(snapshotOf(2, "active", 1));
    const { stdout } = await command("filefrag", ["-v", join(trees, "2/large")]);
    t.match(stdout, /shared/);
    t.same(await storage.commit(snapshotOf(2, "active", 1)), await storage.commit(snapshotOf(1, "active")));
  },
);

t.test("createNativeStorage() wants an absolute root", async (t) => {
  await t.rejects(createNativeStorage({ root: "here", binding, syncFileSystem }), {
    code: "INVALID_ARGUMENT",
  });
});

t.test("NativeTrees.usage() and difference() count as containerd does", async (t) => {
  const base = await mkdtemp(join(tmpdir(), "lazuli-trees-"));
  t.teardown(async () => await rm(base, { recursive: true }));
  const [lower, upper] = [join(base, "lower"), join(base, "upper")];
  await mkdir(lower);
  const second = new Date(1_500_000_000_000);
  for (const name of ["same", "content", "time", "mode"]) {
    await writeFile(join(lower, name), `old ${name}`);
    await utimes(join(lower, name), second, second);
  }
  await symlink("here", join(lower, "link"));
  await binding.trees.copy(lower, upper).done;
  t.same(await binding.trees.difference(lower, upper).done, { size: 0, inodes: 0 }, "equal, read to the end");
  await writeFile(join(upper, "content"), "new content");
  await utimes(join(upper, "content"), second, second);
  await utimes(join(upper, "time"), second, new Date(1_600_000_000_000));
  await chmod(join(upper, "mode"), 0o600);
  await rm(join(upper, "link"));
  await symlink("gone", join(upper, "link"));
  await mkdir(join(upper, "folder"));
  await writeFile(join(upper, "folder/file"), "");
  await link(join(upper, "folder/file"), join(upper, "folder/again"));
  t.equal((await binding.trees.difference(lower, upper).done).inodes, 6);
  const { size, inodes } = await binding.trees.usage(upper).done;
  const { stdout } = await command("du", ["-s", "--block-size=1", upper]);
  t.equal(size, Number(stdout.split("\t")[0]));
  t.equal(inodes, 8);
  await t.rejects(binding.trees.usage(join(upper, "same")).done, { code: "ENOTDIR" });
});
