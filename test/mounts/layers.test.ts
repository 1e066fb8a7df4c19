import { execFile } from "node:child_process";
import { chmodSync, closeSync, mkdirSync, openSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import t from "tap";
import { bytesOfText } from "../../src/bytes/index.js";
import { writeErofs } from "../../src/erofs/index.js";
import { mountFuse, sessionKinds, unmountFuse } from "../../src/fuse/index.js";
import { mountAll, probeIdMapping, unmountAll } from "../../src/mounts/index.js";
import type { DirectoryNode, TreeNode } from "../../src/tree/index.js";
import { addSample, binding, ingest, makeRig, makeSample, type Rig } from "../fuse/rig.js";
import { file, folders, refusing, scratch, spec } from "./rig.js";

const run = promisify(execFile);
const content = Buffer.alloc(5000, "lazy");
const sample = makeSample([{ codec: "raw", content, units: [[0, content.length, 0]] }], 8192);

function tree(): DirectoryNode {
  const mtime = { seconds: 1_600_000_000n, nanoseconds: 0 };
  const facts = { uid: 0, gid: 7, mtime, xattrs: [] };
  const inside: TreeNode = { kind: "file", mode: 0o600, ...facts, size: 5000n, dataOffset: 0n };
  const children = new Map([[bytesOfText("inside"), inside]]);
  return { kind: "directory", mode: 0o755, ...facts, children };
}

interface LayerMount {
  readonly root: string;
  readonly end: () => Promise<void>;
}

async function erofsLayer(rig: Rig): Promise<LayerMount> {
  addSample(rig, 1, sample);
  const meta = join(rig.folder, "meta");
  const root = join(rig.folder, "layer");
  mkdirSync(root);
  writeFileSync(meta, writeErofs({ root: tree(), blockSize: 512, dataSize: sample.table.dataSize }));
  const mounts = [spec("erofs", meta, `device=${join(rig.mount, "1")}`, "ro", "nodev")];
  await mountAll({ binding, mounts, target: root });
  return { root, end: async () => await unmountAll({ binding, target: root }) };
}

async function treeLayer(rig: Rig): Promise<LayerMount> {
  const root = join(rig.folder, "layer");
  mkdirSync(root);
  const paths = { data: join(rig.folder, "data"), meta: join(rig.folder, "meta") };
  writeFileSync(paths.data, Buffer.alloc(sample.data.length));
  writeFileSync(paths.meta, writeErofs({ root: tree(), blockSize: 512, dataSize: sample.data.length }));
  const [dataFd, metaFd] = [openSync(paths.data, "r+"), openSync(paths.meta, "r")];
  rig.plane.addLayer({ number: 1, dataFd, metaFd, units: sample.table.buffer, present: new Uint8Array(1) });
  closeSync(dataFd);
  closeSync(metaFd);
  const fuseFd = binding.openFuse();
  rig.plane.openSession({ kind: sessionKinds.tree, layer: 1, fuseFd, adopted: false });
  await mountFuse({ binding, fuseFd, target: root, kind: sessionKinds.tree });
  return { root, end: async () => await unmountFuse(binding, root) };
}

for (const [name, mountLayer] of Object.entries({ EROFS: erofsLayer, "FUSE tree": treeLayer })) {
  t.test(`mountAll() gives a lazy layer mapped owners: ${name}`, async (t) => {
    await using rig = await makeRig();
    chmodSync(rig.folder, 0o755);
    rig.onMiss = ({ firstUnit, lastUnit }) => void ingest(rig, 1, sample, { firstUnit, lastUnit });
    const layer = await mountLayer(rig);
    const [other, upper, work, target] = folders(rig.folder, "other", "upper", "work", "target") as [
      string,
      string,
      string,
      string,
    ];
    file(join(other, "beside"));
    const settings = [`workdir=${work}`, `upperdir=${upper}`, `lowerdir=${layer.root}:${other}`];
    const maps = ["uidmap=0:100000:65536", "gidmap=0:200000:65536"];
    const mounts = [spec("overlay", "overlay", ...maps, ...settings)];
    try {
      await mountAll({ binding, mounts, target });
      const { stdout } = await run("stat", ["-c", "%u %g", join(target, "inside"), join(target, "beside")]);
      t.same(stdout.trim().split("\n"), ["100000 200007", "100000 200000"]);
      const space = await binding.mounts.userNamespace("0 100000 65536\n", "0 200000 65536\n");
      const inNamespace = [`--user=/proc/${process.pid}/fd/${space}`, "--setuid=0", "--setgid=0"];
      const read = await run("nsenter", [...inNamespace, "cat", join(target, "inside")]);
      closeSync(space);
      t.equal(read.stdout, content.toString(), "root of the namespace reads a file of its own");
      await run("chmod", ["644", join(target, "inside")]);
      const copied = await run("stat", ["-c", "%u %g", join(upper, "inside")]);
      t.equal(copied.stdout.trim(), "100000 200007", "a changed file has the host's ids in the upper layer");
    } finally {
      await unmountAll({ binding, target });
      await layer.end();
    }
  });
}

t.test("probeIdMapping() tries an overlay of mapped layers", async (t) => {
  const base = scratch(t);
  t.same(await probeIdMapping(binding, base), { isSupported: true });
  const { mount, umount, mounts } = binding;
  const old = { mount, umount, mounts: { ...mounts, setAttributes: refusing("ENOSYS", "mount_setattr") } };
  const support = await probeIdMapping(old, base);
  t.match(support, { isSupported: false, why: /mount_setattr/ });
});

t.test("userNamespace() leaves no process behind", async (t) => {
  const made = await Promise.all(
    Array.from({ length: 20 }, () => binding.mounts.userNamespace("0 1000 10\n", "0 2000 10\n")),
  );
  const names = new Set(made.map((fd) => readlinkSync(`/proc/self/fd/${fd}`)));
  t.equal(names.size, 20, "each is a namespace of its own");
  for (const fd of made) closeSync(fd);
  const { stdout } = await run("ps", ["--ppid", String(process.pid), "-o", "comm="]);
  t.same(stdout.trim().split("\n"), ["ps"]);
  await t.rejects(binding.mounts.userNamespace("nonsense", "0 0 1\n"), { code: "EINVAL", syscall: "write" });
});
