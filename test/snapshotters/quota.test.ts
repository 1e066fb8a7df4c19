import { mkdir, mkdtemp, rm, statfs, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t, { type Test } from "tap";
import { loadBinding, type NativeProjectQuotas } from "../../src/fuse/index.js";
import { openProjectQuota } from "../../src/snapshotters/index.js";
import { command } from "../../testing/rig/command.js";
import { unmountBelow } from "../../testing/rig/containerd.js";
import { withMounts } from "../../testing/snapshotter-suite/index.js";
import { layer, openOverlayfs, scratch } from "./user-namespace-rig.js";

const MIB = 1024 * 1024;
const MAX_SIZE = "containerd.io/snapshot/max-size";
const TARGET = "containerd.io/snapshot.ref";
/** Node has no name for it. */
const EDQUOT = 122;
const native = loadBinding().projectQuotas;

/** Quotas of a file system that is not there. */
class MemoryQuotas implements NativeProjectQuotas {
  readonly limits = new Map<number, number>();
  readonly projects = new Map<string, number>();
  /** So many projects, asked for next, belong to somebody. */
  taken = 0;

  async state() {
    return { isAccounted: true, isEnforced: true };
  }

  async project(path: string): Promise<number> {
    return this.projects.get(path) ?? 0;
  }

  async assign(path: string, project: number): Promise<void> {
    this.projects.set(path, project);
  }

  async limit(_path: string, project: number, limitBytes: number): Promise<void> {
    if (limitBytes === 0) this.limits.delete(project);
    else this.limits.set(project, limitBytes);
  }

  async usage(_path: string, project: number) {
    this.taken -= 1;
    const inodes = this.taken >= 0 ? 1 : 0;
    return { sizeBytes: 0, inodes, limitBytes: this.limits.get(project) ?? 0 };
  }
}

t.test("a snapshot's own folders get a project and its limit, and lose it when they go", async (t) => {
  const folder = await scratch(t);
  const quotas = new MemoryQuotas();
  const quota = await openProjectQuota({ quotas, folder, defaultBytes: 5000 });
  const { snapshotter, close } = await openOverlayfs(folder, { quota, removal: "at-once" });
  t.teardown(close);
  await layer(snapshotter, "base", "", "echo x > x");
  t.same([...quotas.limits.values()], [5000], "a client's own tree is no layer of an image");
  quotas.taken = 3;
  for (const [key, labels, bytes] of [
    ["asked", { [MAX_SIZE]: "1234567" }, 1_234_567],
    ["default", {}, 5000],
  ] as const) {
    await snapshotter.prepare({ key, parent: "base", labels });
    const [upper, work] = [...quotas.projects].slice(-2);
    t.match(upper![0], /\/fs$/);
    t.match(work![0], /\/work$/);
    t.equal(upper![1], work![1], "both: what is written goes through the one into the other");
    t.ok(upper![1] >= 2 ** 30 && upper![1] < 2 ** 31, "far from where others count from");
    t.equal(quotas.limits.get(upper![1]), bytes);
  }
  t.equal(new Set(quotas.projects.values()).size, 3);
  const labels = { [TARGET]: "layer" };
  await snapshotter.prepare({ key: "extract-1 layer", parent: "", labels });
  await snapshotter.view({ key: "view", parent: "base", labels: { [MAX_SIZE]: "1" } });
  t.equal(quotas.projects.size, 6, "neither layers nor views are limited");
  for (const key of ["asked", "default", "view", "extract-1 layer", "base"]) await snapshotter.remove(key);
  t.equal(quotas.limits.size, 0);
  for (const value of ["", "0", "-1", "1.5", "many", "99999999999999999"]) {
    const wrong = { key: "wrong", parent: "", labels: { [MAX_SIZE]: value } };
    await t.rejects(
      snapshotter.prepare(wrong),
      { code: "INVALID_ARGUMENT", reason: "max-size-invalid" },
      value,
    );
  }
  quotas.taken = 100;
  await t.rejects(snapshotter.prepare({ key: "full", parent: "", labels: {} }), {
    code: "RESOURCE_EXHAUSTED",
    reason: "projects-exhausted",
  });
});

t.test("a limit that is not ours stays when a snapshot goes", async (t) => {
  const folder = await scratch(t);
  const quotas = new MemoryQuotas();
  // Of an administrator's folder around ours: all that is made in it inherits it.
  const outer = 2 ** 30 + 5;
  quotas.projects.set(folder, outer).set(join(folder, "root/snapshots/1/fs"), outer);
  quotas.projects.set(join(folder, "root/snapshots/2/fs"), 77);
  quotas.limits.set(outer, 1000).set(77, 1000);
  const quota = await openProjectQuota({ quotas, folder, defaultBytes: undefined });
  const { snapshotter, close } = await openOverlayfs(folder, { quota, removal: "at-once" });
  t.teardown(close);
  for (const key of ["one", "two"]) await snapshotter.prepare({ key, parent: "", labels: {} });
  for (const key of ["one", "two"]) await snapshotter.remove(key);
  t.same(
    [...quotas.limits],
    [
      [outer, 1000],
      [77, 1000],
    ],
  );
});

t.test("where nothing can be limited, labels are ignored and a default is refused", async (t) => {
  const folder = await scratch(t);
  await mkdir(join(folder, "memory"));
  await command("mount", ["-t", "tmpfs", "lazuli-quota", join(folder, "memory")]);
  const place = { quotas: native, folder: join(folder, "memory") };
  t.same(await native.state(place.folder), { isAccounted: false, isEnforced: false });
  await t.rejects(openProjectQuota({ ...place, defaultBytes: MIB }), {
    code: "FAILED_PRECONDITION",
    reason: "project-quota-missing",
  });
  const quota = await openProjectQuota({ ...place, defaultBytes: undefined });
  const { snapshotter, close } = await openOverlayfs(place.folder, { quota, removal: "at-once" });
  const labels = { [MAX_SIZE]: "4096" };
  const mounts = await snapshotter.prepare({ key: "box", parent: "", labels });
  await withMounts(mounts, async (mounted) => await writeFile(join(mounted, "x"), Buffer.alloc(MIB)));
  t.same((await snapshotter.stat("box")).labels, labels);
  await snapshotter.remove("box");
  await close();
});

/** A new ext4 that keeps projects' accounts, mounted with these options; undefined where this kernel can't. */
async function quotaDisk(t: Test, options: string): Promise<string | undefined> {
  const base = await mkdtemp(join(tmpdir(), "lazuli-quota-"));
  t.teardown(async () => {
    await unmountBelow(base);
    await rm(base, { recursive: true, force: true });
  });
  const [image, folder] = [join(base, "disk"), join(base, "mounted")];
  await mkdir(folder);
  await writeFile(image, "");
  await truncate(image, 128 * MIB);
  await command("mkfs.ext4", ["-q", "-O", "quota,project", image]);
  const { code } = await command("mount", ["-o", `loop,${options}`, image, folder], { allow: [32] });
  return code === 0 ? folder : undefined;
}

const probe = await quotaDisk(t, "prjquota");
const skip = probe === undefined ? "this kernel mounts no ext4 with quotas (CONFIG_QFMT_V2)" : false;

t.test("a write beyond a snapshot's limit fails in the mounted overlay", { skip }, async (t) => {
  const folder = probe!;
  const openQuota = async () => await openProjectQuota({ quotas: native, folder, defaultBytes: 4 * MIB });
  const first = await openOverlayfs(folder, { quota: await openQuota() });
  const key = "extract-1 base";
  const labels = { [TARGET]: "base" };
  const mounts = await first.snapshotter.prepare({ key, parent: "", labels });
  await withMounts(mounts, async (mounted) => await writeFile(join(mounted, "big"), Buffer.alloc(8 * MIB)));
  await first.snapshotter.commit({ key, name: "base", parent: "", labels });
  const write = async (name: string, bytes: number, of = first.snapshotter): Promise<unknown> =>
    await withMounts(await of.mounts(name), async (mounted) => {
      try {
        await writeFile(join(mounted, `file-${bytes}`), Buffer.alloc(bytes));
        return "written";
      } catch (thrown) {
        const { errno = 0, code } = thrown as NodeJS.ErrnoException;
        return -errno === EDQUOT ? "EDQUOT" : code;
      }
    });
  await first.snapshotter.prepare({ key: "small", parent: "base", labels: { [MAX_SIZE]: String(MIB) } });
  await first.snapshotter.prepare({ key: "default", parent: "base", labels: {} });
  t.match(await write("small", 2 * MIB), /^(EDQUOT|ENOSPC)$/);
  t.equal(await write("default", 2 * MIB), "written");
  t.match(await write("default", 3 * MIB), /^(EDQUOT|ENOSPC)$/);
  t.ok((await first.snapshotter.usage("small")).size <= MIB);
  const upper = join(folder, "root/snapshots/2/fs");
  const project = await native.project(upper);
  const { limitBytes, sizeBytes } = await native.usage(folder, project);
  t.equal(limitBytes, MIB);
  t.ok(sizeBytes > 0 && sizeBytes <= MIB);
  const room = await statfs(upper);
  t.equal(room.blocks * room.bsize, MIB, "df shows the limit");
  await first.close();

  const second = await openOverlayfs(folder, { quota: await openQuota() });
  t.teardown(second.close);
  t.match(await write("small", MIB + 1, second.snapshotter), /^(EDQUOT|ENOSPC)$/, "it outlives the process");
  await second.snapshotter.remove("small");
  await second.snapshotter.cleanup();
  t.same(await native.usage(folder, project), { sizeBytes: 0, inodes: 0, limitBytes: 0 });
  await second.snapshotter.commit({ key: "default", name: "grown", parent: "", labels: {} });
  await second.snapshotter.view({ key: "view", parent: "grown", labels: {} });
});

t.test("accounts without limits limit nothing", { skip }, async (t) => {
  const folder = (await quotaDisk(t, "noquota"))!;
  t.same(await native.state(folder), { isAccounted: true, isEnforced: false });
  await t.rejects(openProjectQuota({ quotas: native, folder, defaultBytes: MIB }), {
    reason: "project-quota-missing",
    code: "FAILED_PRECONDITION",
  });
});
