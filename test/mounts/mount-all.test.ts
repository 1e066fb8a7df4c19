import {
  closeSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import t from "tap";
import { type MountBinding, mountAll, readMountInfo, unmountAll } from "../../src/mounts/index.js";
import { btrfsDisk } from "../../testing/rig/btrfs-disk.js";
import { command } from "../../testing/rig/command.js";
import { binding, file, folders, mountedBelow, oldKernel, refusing, scratch, spec } from "./rig.js";

async function optionsOf(target: string): Promise<readonly string[]> {
  return (await readMountInfo()).findLast((entry) => entry.target === target)?.options ?? [];
}

t.test("mountAll() binds a folder with the flags it is given", async (t) => {
  const base = scratch(t);
  const [source, target] = folders(base, "source", "target") as [string, string];
  file(join(source, "inside"), "content");
  for (const kernel of [binding, oldKernel()]) {
    await mountAll({
      binding: kernel,
      mounts: [spec("bind", source, "ro", "nosuid", "nodev", "noatime", "rbind", "rprivate", "defaults")],
      target,
    });
    t.equal(readFileSync(join(target, "inside"), "utf8"), "content");
    t.throws(() => writeFileSync(join(target, "inside"), ""), { code: "EROFS" });
    const options = await optionsOf(target);
    for (const option of ["ro", "nosuid", "nodev", "noatime"]) t.ok(options.includes(option), option);
    writeFileSync(join(source, "inside"), "content");
    await unmountAll({ binding, target });
  }
  await mountAll({ binding, mounts: [spec("bind", source, "ro", "rw", "bind")], target });
  t.ok((await optionsOf(target)).includes("rw"), "the last word counts");
  t.throws(() => statSync(join(target, "none")), { code: "ENOENT" });
  await unmountAll({ binding, target });
  t.same(await mountedBelow(base), []);
});

t.test("mountAll() binds with mapped owners", async (t) => {
  const base = scratch(t);
  const [source, target] = folders(base, "source", "target") as [string, string];
  file(join(source, "inside"));
  const mounts = [spec("bind", source, "uidmap=0:100000:10", "gidmap=0:200000:10", "rw", "rbind")];
  await mountAll({ binding, mounts, target });
  const { uid, gid } = statSync(join(target, "inside"));
  t.same([uid, gid], [100_000, 200_000]);
  t.ok((await optionsOf(target)).includes("idmapped"));
  await t.rejects(mountAll({ binding: oldKernel(), mounts, target }), {
    code: "FAILED_PRECONDITION",
    reason: "idmap-unsupported",
  });
  await t.rejects(
    mountAll({ binding, mounts: [spec("bind", "/proc", "uidmap=0:1:1", "gidmap=0:1:1", "rbind")], target }),
    { code: "FAILED_PRECONDITION", reason: "idmap-unsupported", message: /\/proc.*EINVAL/ },
  );
});

t.test("mountAll() mounts file systems: tmpfs, a disk in a file, a subvolume", async (t) => {
  const base = scratch(t);
  const [target] = folders(base, "target") as [string];
  for (const kernel of [binding, oldKernel()]) {
    await mountAll({
      binding: kernel,
      mounts: [spec("tmpfs", "none", "mode=711", "nosuid", "sync")],
      target,
    });
    t.equal(statSync(target).mode & 0o777, 0o711);
    await unmountAll({ binding, target });
  }
  const disk = file(join(base, "disk"));
  truncateSync(disk, 8 * 1024 * 1024);
  await command("mkfs.ext4", ["-q", disk]);
  await mountAll({ binding, mounts: [spec("ext4", disk, "loop")], target });
  file(join(target, "kept"), "yes");
  await unmountAll({ binding, target });
  await mountAll({ binding, mounts: [spec("ext4", disk, "loop", "ro")], target });
  t.equal(readFileSync(join(target, "kept"), "utf8"), "yes");
  t.throws(() => writeFileSync(join(target, "more"), ""), { code: "EROFS" });
  await unmountAll({ binding, target });
  const { stdout } = await command("losetup", ["-a"]);
  t.notOk(stdout.includes(disk), "the loop device is gone");
});

t.test("mountAll() mounts subvolumes of one btrfs read-only and writable at once", async (t) => {
  const base = scratch(t);
  const disk = await btrfsDisk(t);
  const [first, second] = folders(base, "first", "second") as [string, string];
  for (const name of ["one", "two"]) {
    await command("btrfs", ["subvolume", "create", join(disk, name)]);
    file(join(disk, name, "name"), name);
  }
  const device = (await readMountInfo()).find(({ target }) => target === disk)!.source;
  for (const [left, right] of [
    ["ro", "rw"],
    ["rw", "ro"],
  ] as const) {
    await mountAll({ binding, mounts: [spec("btrfs", device, "subvol=one", left)], target: first });
    await mountAll({ binding, mounts: [spec("btrfs", device, "subvol=two", right)], target: second });
    for (const [target, access] of [
      [first, left],
      [second, right],
    ] as const) {
      const write = (): void => writeFileSync(join(target, "more"), "");
      if (access === "ro") t.throws(write, { code: "EROFS" });
      else t.doesNotThrow(write);
    }
    t.equal(readFileSync(join(second, "name"), "utf8"), "two");
    await unmountAll({ binding, target: first });
    await unmountAll({ binding, target: second });
  }
});

t.test("mountAll() places mounts in a mount, and links don't lead out", async (t) => {
  const base = scratch(t);
  const [root, inner, target, outside] = folders(base, "root/etc", "inner", "target", "outside") as [
    string,
    string,
    string,
    string,
  ];
  file(join(inner, "inside"));
  symlinkSync(outside, join(base, "root", "link"));
  symlinkSync("../../../../../../etc", join(base, "root", "up"));
  const below = (place: string) => [
    spec("bind", join(root, ".."), "rbind"),
    { ...spec("bind", inner, "rbind"), target: place },
  ];
  await mountAll({ binding, mounts: below("/up"), target });
  t.same(readdirSync(join(target, "etc")), ["inside"]);
  await unmountAll({ binding, mounts: below("/up"), target });
  t.same(await mountedBelow(base), []);
  await t.rejects(mountAll({ binding, mounts: below("link"), target }), {
    code: "NOT_FOUND",
    reason: "mount-path-missing",
  });
  t.same(readdirSync(outside), []);
  t.same(await mountedBelow(base), [], "the first is undone");
});

/** The same calls, with something done before each. */
function watched(before: () => void): MountBinding {
  const wrap = <Call extends (...args: never[]) => unknown>(call: Call): Call =>
    ((...args: never[]) => {
      before();
      return call(...args);
    }) as Call;
  const mounts = Object.fromEntries(Object.entries(binding.mounts).map(([name, call]) => [name, wrap(call)]));
  return { mount: wrap(binding.mount), umount: binding.umount, mounts: mounts as typeof binding.mounts };
}

t.test("mountAll() mounts nothing of a list when its signal fires at any step", async (t) => {
  const base = scratch(t);
  const [one, two, target] = folders(base, "one/sub", "two", "target") as [string, string, string];
  const overlay = spec("overlay", "overlay", `lowerdir=${one}:${two}`, "uidmap=0:5:1", "gidmap=0:5:1");
  const mounts = [spec("bind", join(one, ".."), "ro", "rbind", "rprivate"), { ...overlay, target: "sub" }];
  let total = 0;
  await mountAll({ binding: watched(() => (total += 1)), mounts, target });
  await unmountAll({ binding, mounts, target });
  t.ok(total > 5, "there are steps");
  const openFiles = readdirSync("/proc/self/fd").length;
  for (let stop = 0; stop < total; stop += 1) {
    const controller = new AbortController();
    let step = 0;
    const stopping = watched(() => {
      if (step === stop) controller.abort(new Error("enough"));
      step += 1;
    });
    await t.rejects(mountAll({ binding: stopping, mounts, target, signal: controller.signal }), /enough/);
    t.same(await mountedBelow(base), [], `nothing is left when it stops at step ${stop}`);
  }
  t.equal(readdirSync("/proc/self/fd").length, openFiles, "nor any descriptor");
});

t.test("mountAll() undoes what it mounted when a later mount fails", async (t) => {
  const base = scratch(t);
  const [source, target] = folders(base, "source/sub", "target") as [string, string];
  const good = spec("bind", source, "rbind");
  for (const bad of [spec("bind", join(base, "missing"), "rbind"), spec("no-such-type", "none")]) {
    await t.rejects(mountAll({ binding, mounts: [good, good, bad], target }), {
      code: bad.type === "bind" ? "NOT_FOUND" : "FAILED_PRECONDITION",
      reason: bad.type === "bind" ? "mount-path-missing" : "file-system-unknown",
    });
    t.same(await mountedBelow(base), []);
  }
  const kernel = oldKernel();
  let calls = 0;
  const failing = {
    ...kernel,
    mount: async (...args: Parameters<typeof binding.mount>) => {
      calls += 1;
      if (calls === 2) await refusing("EINVAL", "mount")();
      await binding.mount(...args);
    },
  };
  await t.rejects(mountAll({ binding: failing, mounts: [spec("bind", source, "ro")], target }), {
    code: "INVALID_ARGUMENT",
    reason: "mount-refused",
  });
  t.same(await mountedBelow(base), [], "also between the two calls of an old bind");
});

t.test("mountAll() refuses what it can't do", async (t) => {
  const base = scratch(t);
  const refused = async (type: string, options: string[], target = base): Promise<void> =>
    await mountAll({ binding, mounts: [spec(type, "source", ...options)], target });
  for (const option of ["X-containerd.mkdir.path=/x", "X-containerd.dmverity=/x", "X-containerd.ro"]) {
    await t.rejects(refused("bind", [option]), { code: "UNIMPLEMENTED", reason: "mount-option-unsupported" });
  }
  await t.rejects(refused("format/mkdir/overlay", []), { code: "UNIMPLEMENTED" });
  for (const maps of [["uidmap=0:1:1"], ["uidmap=0:1:1", "gidmap=nonsense"]]) {
    await t.rejects(refused("bind", maps), { code: "INVALID_ARGUMENT", reason: "id-mapping-invalid" });
  }
  const invalid = { code: "INVALID_ARGUMENT", reason: "mount-options-invalid" };
  await t.rejects(refused("", []), invalid);
  await t.rejects(refused("bind", ["zero\0byte"]), invalid);
  await t.rejects(
    refused(
      "bind",
      Array.from({ length: 1025 }, () => "ro"),
    ),
    invalid,
  );
  await t.rejects(refused("bind", [], "relative"), invalid);
});

t.test("unmountAll() takes away a stack, and mounts in use are detached", async (t) => {
  const base = scratch(t);
  const [source, target] = folders(base, "source", "target") as [string, string];
  const mounts = [spec("bind", source, "rbind"), spec("bind", source, "rbind")];
  await mountAll({ binding, mounts, target });
  const user = openSync(target, "r");
  t.teardown(() => closeSync(user));
  await unmountAll({ binding, target });
  t.same(await mountedBelow(base), []);
  await unmountAll({ binding, mounts, target });
  t.pass("what isn't mounted is fine");
});
