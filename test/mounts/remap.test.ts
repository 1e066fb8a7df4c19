import { chmodSync, linkSync, lstatSync, readdirSync, statSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import t, { type Test } from "tap";
import { type IdMapping, mountAll, remapIntoUpper, remapTree, unmountAll } from "../../src/mounts/index.js";
import { command } from "../../testing/rig/command.js";
import { binding, file, folders, mountedBelow, scratch, spec } from "./rig.js";

const mapping: IdMapping = {
  uids: [{ inside: 0, outside: 100_000, size: 1000 }],
  gids: [{ inside: 0, outside: 200_000, size: 1000 }],
};

/** Things whose privileges chown takes away, in a tree with links and a folder. */
async function sampleTree(root: string): Promise<void> {
  folders(root, "folder/deep");
  chmodSync(join(root, "folder"), 0o2775);
  for (const name of ["plain", "setuid", "capable", "shared", "folder/deep/file"]) {
    file(join(root, name), "content".repeat(20_000));
  }
  chmodSync(join(root, "setuid"), 0o6755);
  await command("setcap", ["cap_net_raw=ep", join(root, "capable")]);
  await command("setfacl", ["-m", "u:5:rwx,g:6:r", join(root, "shared")]);
  linkSync(join(root, "setuid"), join(root, "folder", "setuid"));
  symlinkSync("plain", join(root, "link"));
  linkSync(join(root, "link"), join(root, "folder", "link"));
  await command("mkfifo", [join(root, "pipe")]);
}

async function checkTree(t: Test, root: string): Promise<void> {
  for (const name of ["", ...(readdirSync(root, { recursive: true }) as string[])]) {
    const { uid, gid } = lstatSync(join(root, name));
    t.same([uid, gid], [100_000, 200_000], name);
  }
  t.equal(statSync(join(root, "setuid")).mode & 0o7777, 0o6755);
  t.equal(statSync(join(root, "folder")).mode & 0o7777, 0o2775);
  const { stdout: capabilities } = await command("getcap", ["-n", join(root, "capable")]);
  t.match(capabilities, /cap_net_raw.*rootid=100000/);
  const { stdout: acl } = await command("getfacl", ["-np", join(root, "shared")]);
  t.match(acl, /user:100005:rwx/);
  t.match(acl, /group:200006:r--/);
}

t.test("remapTree() changes each owner once and keeps privileges", async (t) => {
  const root = scratch(t);
  await sampleTree(root);
  const names = readdirSync(root, { recursive: true }).length;
  t.equal(await remapTree({ binding, root, mapping }), names + 1 - 2, "two inodes have two names");
  await checkTree(t, root);
  t.equal(statSync(join(root, "setuid")).nlink, 2);
  await t.rejects(remapTree({ binding, root, mapping }), {
    code: "FAILED_PRECONDITION",
    reason: "id-unmapped",
    message: /uid 100000 has no place in the mapping/,
  });
  await t.rejects(remapTree({ binding, root: join(root, "missing"), mapping }), { code: "NOT_FOUND" });
  const over = AbortSignal.abort(new Error("enough"));
  await t.rejects(remapTree({ binding, root, mapping, signal: over }), /enough/);
});

t.test("remapTree() stops when its signal fires", async (t) => {
  const root = scratch(t);
  for (let index = 0; index < 300; index += 1) folders(root, `folder ${index}`);
  const controller = new AbortController();
  const remapping = remapTree({ binding, root, mapping, signal: controller.signal });
  controller.abort(new Error("enough"));
  await t.rejects(remapping, /enough/);
});

t.test("remapIntoUpper() makes a layer that gives the layers below their mapped owners", async (t) => {
  for (const isMetacopy of [true, false]) {
    const base = scratch(t);
    const [lower, second, upper, work, target] = folders(
      base,
      "lower",
      "second",
      "upper",
      "work",
      "target",
    ) as [string, string, string, string, string];
    await sampleTree(lower);
    file(join(second, "from the second"));
    const lowers = [lower, second];
    await remapIntoUpper({ binding, lowers, upper, work, target, mapping, isMetacopy });
    t.same(await mountedBelow(base), []);
    t.equal(statSync(join(lower, "plain")).uid, 0, "the layers below stay as they are");
    t.equal(statSync(join(upper, "plain")).blocks * 512 < 100_000, isMetacopy, "content is copied, or not");
    const options = ["index=off", ...(isMetacopy ? ["metacopy=on"] : [])];
    const mounts = [spec("overlay", "overlay", `lowerdir=${[upper, ...lowers].join(":")}`, ...options)];
    await mountAll({ binding, mounts, target });
    await checkTree(t, target);
    t.equal(statSync(join(target, "plain")).size, 140_000);
    t.equal(lstatSync(join(target, "from the second")).uid, 100_000);
    await unmountAll({ binding, mounts, target });
  }
});
