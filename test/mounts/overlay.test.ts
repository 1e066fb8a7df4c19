import { readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { type MountBinding, mountAll, readMountInfo, unmountAll } from "../../src/mounts/index.js";
import { binding, file, folders, mountedBelow, namesOnlyKernel, oldKernel, scratch, spec } from "./rig.js";

/** Beyond fsconfig's 255 bytes for a value. */
const LONG = `${"long-name-".repeat(12)}/${"deep-name-".repeat(12)}/${"end".repeat(10)}`;

const kernels: Readonly<Record<string, () => MountBinding>> = {
  "the mount API": () => binding,
  "the mount API without descriptors": namesOnlyKernel,
  "mount(2)": oldKernel,
};

/** Layers with a file of their own each, and one that all have. */
function layers(count: number, nameOf: (index: number) => string): string[] {
  return Array.from({ length: count }, (_, index) => {
    const path = nameOf(index);
    file(join(path, `own-${index}`), String(index));
    file(join(path, "shared"), String(index));
    return path;
  });
}

t.test("mountAll() stacks any number of layers, however long their paths are", async (t) => {
  const base = scratch(t);
  const near = layers(500, (index) => join(base, "near", LONG, String(index), "fs"));
  const apart = layers(400, (index) => join(base, String(index), LONG));
  const [upper, work, target] = folders(base, `up/${LONG}/upper`, `up/${LONG}/work`, "target") as [
    string,
    string,
    string,
  ];
  for (const [name, kernel] of Object.entries(kernels)) {
    const lists = [near.slice(0, 1), near.slice(0, 64), near.slice(0, 128), near, apart];
    for (const lowers of lists) {
      const mounts = [
        spec(
          "overlay",
          "overlay",
          `workdir=${work}`,
          `upperdir=${upper}`,
          `lowerdir=${lowers.join(":")}`,
          "index=off",
        ),
      ];
      await mountAll({ binding: kernel(), mounts, target });
      t.equal(readFileSync(join(target, "shared"), "utf8"), "0", `the first is on top, by ${name}`);
      t.equal(readdirSync(target).length, lowers.length + 1, `${lowers.length} layers by ${name}`);
      file(join(target, "written"));
      t.same(readdirSync(upper), ["written"], "the upper layer takes what is written");
      await unmountAll({ binding, mounts, target });
      rmSync(join(upper, "written"));
    }
  }
  t.same(await mountedBelow(base), []);
});

t.test("mountAll() takes layers whose names have commas, colons and backslashes", async (t) => {
  const base = scratch(t);
  const odd = layers(3, (index) => join(base, `a,b:c\\d ${index}`));
  const [target] = folders(base, "target") as [string];
  const escaped = odd.map((path) => path.replace(/[\\:]/g, "\\$&")).join(":");
  for (const [name, kernel] of Object.entries(kernels)) {
    const mounts = [spec("overlay", "overlay", `lowerdir=${escaped}`)];
    await mountAll({ binding: kernel(), mounts, target });
    t.equal(readFileSync(join(target, "own-2"), "utf8"), "2", name);
    await unmountAll({ binding, mounts, target });
  }
});

t.test("mountAll() shows the real paths of layers in the table of mounts", async (t) => {
  const base = scratch(t);
  const lowers = layers(2, (index) => join(base, LONG, String(index)));
  const [target] = folders(base, "target") as [string];
  await mountAll({
    binding,
    mounts: [spec("overlay", "lazuli", `lowerdir=${lowers.join(":")}`, "ro")],
    target,
  });
  const text = readFileSync("/proc/self/mountinfo", "utf8");
  t.ok(text.includes(lowers[1]!));
  const entry = (await readMountInfo()).find((mount) => mount.target === target)!;
  t.match(entry, { type: "overlay", source: "lazuli" });
  t.ok(entry.options.includes("ro"));
});

t.test("mountAll() gives an overlay's layers the owners of a mapping", async (t) => {
  const base = scratch(t);
  const lowers = layers(3, (index) => join(base, LONG, String(index)));
  const [upper, work, target] = folders(base, "upper", "work", "target") as [string, string, string];
  const options = [
    "uidmap=0:100000:65536",
    "gidmap=0:200000:1000,1000:300000:64536",
    `workdir=${work}`,
    `upperdir=${upper}`,
    `lowerdir=${lowers.join(":")}`,
  ];
  const mounts = [spec("overlay", "overlay", ...options)];
  for (const kernel of [binding, namesOnlyKernel()]) {
    await mountAll({ binding: kernel, mounts, target });
    const stat = statSync(join(target, "own-2"));
    t.same([stat.uid, stat.gid], [100_000, 200_000]);
    t.equal(statSync(join(lowers[2]!, "own-2")).uid, 0, "the layer itself stays as it is");
    t.same(await mountedBelow("/tmp/lazuli-lowers-"), [], "no layer is left mounted");
    await unmountAll({ binding, mounts, target });
  }
  await t.rejects(mountAll({ binding: oldKernel(), mounts, target }), {
    code: "FAILED_PRECONDITION",
    reason: "idmap-unsupported",
  });
  t.same(await mountedBelow(base), []);
});

t.test("mountAll() says what overlayfs says", async (t) => {
  const base = scratch(t);
  const [lower, target] = folders(base, "lower", "target") as [string, string];
  const refused = async (...options: string[]): Promise<void> =>
    await mountAll({ binding, mounts: [spec("overlay", "overlay", ...options)], target });
  await t.rejects(refused(`lowerdir=${lower}`, "nonsense=1"), {
    code: "INVALID_ARGUMENT",
    reason: "mount-refused",
    message: /overlay: Unknown parameter 'nonsense'/,
    subject: target,
  });
  await t.rejects(refused(`lowerdir=${lower}:${join(base, "missing")}`), {
    code: "NOT_FOUND",
    reason: "mount-path-missing",
  });
  const many = Array.from({ length: 501 }, () => lower).join(":");
  await t.rejects(refused(`lowerdir=${many}`), { code: "INVALID_ARGUMENT", message: /too many/ });
  const long = spec("overlay", "overlay", `lowerdir=${lower}`, `long=${"x".repeat(4096)}`);
  await t.rejects(mountAll({ binding: oldKernel(), mounts: [long], target }), {
    code: "RESOURCE_EXHAUSTED",
    reason: "mount-options-too-long",
  });
  t.same(await mountedBelow(base), []);
});
