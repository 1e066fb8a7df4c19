import { lstat, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import t from "tap";
import { mountAll, unmountAll } from "../../src/mounts/index.js";
import { openOverlayIdMapping } from "../../src/snapshotters/index.js";
import { command } from "../../testing/rig/command.js";
import { withMounts } from "../../testing/snapshotter-suite/index.js";
import {
  binding,
  image,
  inNamespace,
  mappedLabels,
  mountedBelow,
  OWNERS,
  openOverlayfs,
  scratch,
} from "./user-namespace-rig.js";

const insideOwners = ["0:0 .", "0:0 root", "7:8 top", "1000:1001 home", "1000:1001 home/user", ""].join("\n");
const outsideOwners = [
  "100000:200000 .",
  "100000:200000 root",
  "100007:200008 top",
  "101000:201001 home",
  "101000:201001 home/user",
  "",
].join("\n");
/** What a container's processes do to files of all kinds. */
const WORK =
  "echo new > new; echo more >> home/user; chown 5:6 top; chmod 600 root; rm -r bin; mkdir dir; mv home/hard dir/";

t.test("prepare() with mapped ids gives mounts that any client can make", async (t) => {
  const folder = await scratch(t);
  const { snapshotter, idMapping, close } = await openOverlayfs(folder);
  t.teardown(close);
  t.same(idMapping.capabilities, ["remap-ids", "only-remap-ids"]);
  const parent = await image(snapshotter);
  const mounts = await snapshotter.prepare({ key: "box", parent, labels: mappedLabels });
  const options = mounts[0]!.options;
  t.equal(mounts.length, 1);
  t.ok(!options.some((option) => /^[ug]idmap=/.test(option)), "nothing that only new clients know");
  const lowers = options
    .find((option) => option.startsWith("lowerdir="))!
    .slice("lowerdir=".length)
    .split(":");
  t.same((await mountedBelow(join(folder, "idmapped"))).sort(), lowers.toSorted());
  t.same(await snapshotter.mounts("box"), mounts);
  const upper = options.find((option) => option.startsWith("upperdir="))!.slice("upperdir=".length);
  const { uid, gid } = await lstat(upper);
  t.same([uid, gid], [100_000, 200_000]);
  await withMounts(mounts, async (mounted) => {
    t.equal((await command("sh", ["-ec", OWNERS], { cwd: mounted })).stdout, outsideOwners);
    t.equal((await inNamespace(mounted, OWNERS)).stdout, insideOwners);
    t.match((await inNamespace(mounted, "stat -c '%u' far")).stdout, /^65534$/m, "no place in the mapping");
    const done = await inNamespace(mounted, WORK);
    t.equal(done.code, 0, done.stderr);
    const made = "stat -c '%u:%g %n' new home/user top dir dir/hard; cat home/user";
    t.equal(
      (await inNamespace(mounted, made)).stdout,
      "0:0 new\n1000:1001 home/user\n5:6 top\n0:0 dir\n1000:1001 dir/hard\nuser\nmore\n",
    );
    t.equal((await inNamespace(mounted, "echo x > far")).code, 2, "others' files can't be written");
  });
  const facts = await lstat(join(upper, "new"));
  t.same([facts.uid, facts.gid], [100_000, 200_000], "the upper layer has the host's ids");
  t.equal(await readFile(join(folder, "root/snapshots/1/fs/home/user"), "utf8"), "user\n");
  await snapshotter.remove("box");
  await snapshotter.cleanup();
  t.same(await mountedBelow(folder), []);
  t.same(await readdir(join(folder, "idmapped")), []);
});

t.test("view() with mapped ids shows one layer or several", async (t) => {
  const folder = await scratch(t);
  const { snapshotter, close } = await openOverlayfs(folder, { removal: "at-once" });
  t.teardown(close);
  await image(snapshotter);
  for (const [parent, type] of [
    ["base", "bind"],
    ["top", "overlay"],
  ] as const) {
    const mounts = await snapshotter.view({ key: `view-${parent}`, parent, labels: mappedLabels });
    t.match(mounts, [{ type }]);
    await withMounts(mounts, async (mounted) => {
      t.equal((await inNamespace(mounted, "stat -c '%u:%g' home/user root")).stdout, "1000:1001\n0:0\n");
      t.equal((await inNamespace(mounted, "touch x")).code, 1, "is read-only");
    });
  }
  t.equal((await mountedBelow(folder)).length, 2, "the layer of both is mounted once");
  await snapshotter.remove("view-top");
  t.equal((await mountedBelow(folder)).length, 1);
  const empty = await snapshotter.prepare({ key: "empty", parent: "", labels: mappedLabels });
  await withMounts(empty, async (mounted) => {
    t.equal((await inNamespace(mounted, "touch x; stat -c '%u:%g' . x")).stdout, "0:0\n0:0\n");
  });
  await snapshotter.remove("empty");
  await snapshotter.remove("view-base");
  t.same(await mountedBelow(folder), [], "removal at once takes the mounts along");
});

t.test(
  "a start keeps the mapped layers of snapshots that are there, and takes away all others",
  async (t) => {
    const folder = await scratch(t);
    const first = await openOverlayfs(folder);
    const parent = await image(first.snapshotter);
    const mounts = await first.snapshotter.prepare({ key: "stays", parent, labels: mappedLabels });
    const otherLabels = { ...mappedLabels, "containerd.io/snapshot/uidmapping": "0:300000:65536" };
    await first.snapshotter.prepare({ key: "goes", parent, labels: otherLabels });
    await first.snapshotter.prepare({ key: "grows", parent, labels: otherLabels });
    await first.snapshotter.remove("goes");
    t.equal((await mountedBelow(folder)).length, 4, "two layers under two mappings");
    await first.snapshotter.commit({ key: "grows", name: "grown", parent: "", labels: {} });
    // What is mounted here belongs to no row.
    await first.idMapping.claim({
      id: 1000,
      lowers: [folder],
      mapping: { uids: [{ inside: 0, outside: 1, size: 1 }], gids: [{ inside: 0, outside: 1, size: 1 }] },
    });
    await first.close();
    const second = await openOverlayfs(folder);
    t.teardown(second.close);
    t.equal((await mountedBelow(folder)).length, 2);
    t.same(await second.snapshotter.mounts("stays"), mounts, "under the same names");
    await withMounts(mounts, async (mounted) => {
      t.equal((await inNamespace(mounted, OWNERS)).stdout, insideOwners);
    });
    await second.snapshotter.remove("stays");
    await second.snapshotter.cleanup();
    t.same(await mountedBelow(folder), []);
  },
);

t.test("prepare() where the client maps ids gives containerd 2's options", async (t) => {
  const folder = await scratch(t);
  const { snapshotter, close } = await openOverlayfs(folder, { mode: "options" });
  t.teardown(close);
  const parent = await image(snapshotter);
  const wanted = ["uidmap=0:100000:65536", "gidmap=0:200000:65536"];
  const prepare = async (key: string, of: string, labels: Record<string, string>) =>
    (await snapshotter.prepare({ key, parent: of, labels }))[0]!;
  t.same((await prepare("empty", "", mappedLabels)).options, [...wanted, "rw", "rbind"]);
  const box = await prepare("box", parent, mappedLabels);
  const plain = await prepare("plain", parent, {});
  const paths = (options: readonly string[]) => options.map((option) => option.replace(/\/\d+\//, "/N/"));
  t.same(paths(box.options), [...wanted, ...paths(plain.options)]);
  const [view] = await snapshotter.view({ key: "view", parent: "base", labels: mappedLabels });
  t.same(view!.options, [...wanted, "ro", "rbind"]);
  t.same(await mountedBelow(folder), [], "nothing is mounted for them");
  const target = join(folder, "target");
  await command("mkdir", [target]);
  await mountAll({ binding, mounts: [box], target });
  t.equal((await inNamespace(target, OWNERS)).stdout, insideOwners);
  t.equal((await inNamespace(target, WORK)).code, 0);
  await unmountAll({ binding, target });
});

t.test("prepare() that changes owners copies what the layers show", async (t) => {
  const folder = await scratch(t);
  const { snapshotter, idMapping, close } = await openOverlayfs(folder, {
    mode: "chown",
    removal: "at-once",
  });
  t.teardown(close);
  t.same(idMapping.capabilities, ["remap-ids"]);
  await image(snapshotter);
  const far = await snapshotter
    .prepare({ key: "far", parent: "top", labels: mappedLabels })
    .catch((thrown: unknown) => thrown);
  t.match(far, { code: "FAILED_PRECONDITION", reason: "id-unmapped" }, "no owner is made up");
  t.same((await readdir(join(folder, "root/snapshots"))).sort(), ["1", "2"], "and nothing is left of it");
  const wide = {
    "containerd.io/snapshot/uidmapping": "0:100000:65536,70000:300000:1",
    "containerd.io/snapshot/gidmapping": "0:200000:65536",
  };
  for (const kind of ["prepare", "view"] as const) {
    const mounts = await snapshotter[kind]({ key: kind, parent: "top", labels: wide });
    t.same(await snapshotter.mounts(kind), mounts);
    t.same(await mountedBelow(folder), []);
    await withMounts(mounts, async (mounted) => {
      t.equal((await inNamespace(mounted, OWNERS)).stdout, insideOwners);
      const { stdout } = await command("stat", ["-c", "%u %h %a", "far", "home/user", "bin/setuid"], {
        cwd: mounted,
      });
      t.equal(stdout, "300000 1 644\n101000 2 644\n100000 1 4755\n", "links and modes are as they were");
      t.equal((await inNamespace(mounted, "touch x")).code, kind === "prepare" ? 0 : 1);
    });
  }
  t.equal((await snapshotter.usage("prepare")).inodes, 2, "what the container wrote, and the root");
  await snapshotter.remove("prepare");
  await snapshotter.remove("view");
  t.same((await readdir(join(folder, "root/snapshots"))).sort(), ["1", "2"]);
});

t.test("a snapshot made before its owners were to be changed is mounted idmapped", async (t) => {
  const folder = await scratch(t);
  const first = await openOverlayfs(folder);
  const parent = await image(first.snapshotter);
  const mounts = await first.snapshotter.prepare({ key: "box", parent, labels: mappedLabels });
  await first.close();
  const second = await openOverlayfs(folder, { mode: "chown" });
  t.teardown(second.close);
  t.same(await second.snapshotter.mounts("box"), mounts);
});

t.test("mappings that can't be had are refused before anything is made", async (t) => {
  const folder = await scratch(t);
  const noIdMaps = async (): Promise<never> => {
    throw Object.assign(new Error("EINVAL: mount_setattr"), { code: "EINVAL" });
  };
  const { snapshotter, close } = await openOverlayfs(folder);
  t.teardown(close);
  const parent = await image(snapshotter);
  const prepare = async (labels: Record<string, string>, of = snapshotter) =>
    await of.prepare({ key: "box", parent, labels });
  const { "containerd.io/snapshot/uidmapping": _uids, ...half } = mappedLabels;
  await t.rejects(prepare(half), { code: "INVALID_ARGUMENT", reason: "id-mapping-invalid" });
  const withoutRoot = { ...mappedLabels, "containerd.io/snapshot/uidmapping": "1:100000:10" };
  await t.rejects(prepare(withoutRoot), { code: "FAILED_PRECONDITION", reason: "id-unmapped" });
  t.same((await readdir(join(folder, "root/snapshots"))).sort(), ["1", "2"]);
  const old = { ...binding, mounts: { ...binding.mounts, setAttributes: noIdMaps } };
  const place = { binding: old, root: join(folder, "root"), folder: join(folder, "old") };
  for (const mode of ["mounts", "options"] as const) {
    const idMapping = await openOverlayIdMapping({ ...place, mode });
    t.same(idMapping.capabilities, ["only-remap-ids"], "as containerd says it");
    const other = await openOverlayfs(join(folder, mode), { idMapping });
    t.teardown(other.close);
    await image(other.snapshotter);
    await t.rejects(prepare(mappedLabels, other.snapshotter), {
      code: "FAILED_PRECONDITION",
      reason: "idmap-unsupported",
      message: /mount_setattr/,
    });
  }
  t.same((await openOverlayIdMapping({ ...place, mode: "chown" })).capabilities, ["remap-ids"]);
  const none = await openOverlayfs(join(folder, "none"), { idMapping: undefined });
  t.teardown(none.close);
  await image(none.snapshotter);
  await t.rejects(prepare(mappedLabels, none.snapshotter), {
    code: "FAILED_PRECONDITION",
    reason: "idmap-unsupported",
  });
});
