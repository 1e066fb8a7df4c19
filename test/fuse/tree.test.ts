import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { closeSync, mkdirSync, openSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import t from "tap";
import { type ByteString, bytesOfText } from "../../src/bytes/index.js";
import { writeErofs } from "../../src/erofs/index.js";
import { mountFuse, sessionKinds, unmountFuse } from "../../src/fuse/index.js";
import type { DirectoryNode, TreeNode, Xattr } from "../../src/tree/index.js";
import { binding, ingest, makeRig, makeSample, type Rig, sha256, sumFromOutside } from "./rig.js";

const run = promisify(execFile);
const SECOND = 200_000;

function facts(mode: number, xattrs: readonly Xattr[] = []) {
  return { mode, uid: 0, gid: 12, mtime: { seconds: 1_600_000_000n, nanoseconds: 123_456_789 }, xattrs };
}

function directory(children: Record<string, TreeNode>, mode = 0o755): DirectoryNode {
  const entries = Object.entries(children).map(([name, node]): [ByteString, TreeNode] => [
    bytesOfText(name),
    node,
  ]);
  return { kind: "directory", ...facts(mode), children: new Map(entries) };
}

function file(
  size: number,
  dataOffset: number | undefined,
  mode = 0o644,
  xattrs: readonly Xattr[] = [],
): TreeNode {
  const offset = dataOffset === undefined ? undefined : BigInt(dataOffset);
  return { kind: "file", ...facts(mode, xattrs), size: BigInt(size), dataOffset: offset };
}

/** Two files, each over two units that end in the middle of a block. */
const content = randomBytes(SECOND + 100_000);
const sample = makeSample(
  [
    {
      codec: "gzip",
      content: content.subarray(0, 150_000),
      units: [
        [0, 70_000, 0],
        [70_000, 80_000, 70_000],
      ],
    },
    { codec: "raw", content: content.subarray(SECOND), units: [[0, 100_000, 200_704]] },
  ],
  300_704,
);

function sampleTree(xattrs: readonly Xattr[]): DirectoryNode {
  const first = file(150_000, 0, 0o755, xattrs);
  const many = Object.fromEntries(
    Array.from({ length: 3000 }, (_, index) => [`entry-${index}`, file(0, undefined)]),
  );
  return directory({
    first,
    again: first,
    second: file(100_000, 200_704, 0o4755),
    secret: file(1, 0, 0o600),
    link: { kind: "symlink", ...facts(0o777), target: bytesOfText("some/where") },
    null: { kind: "character", ...facts(0o666), major: 1, minor: 3 },
    pipe: { kind: "fifo", ...facts(0o600) },
    naïve: directory({ inner: file(0, undefined) }, 0o700),
    many: directory(many),
  });
}

interface MountedTree extends AsyncDisposable {
  readonly rig: Rig;
  readonly root: string;
}

async function mountTree(tree: DirectoryNode, blockSize: 512 | 4096 = 4096): Promise<MountedTree> {
  const rig = await makeRig();
  try {
    return await mountTreeOn(rig, tree, blockSize);
  } catch (error) {
    await rig[Symbol.asyncDispose]();
    throw error;
  }
}

async function mountTreeOn(rig: Rig, tree: DirectoryNode, blockSize: 512 | 4096): Promise<MountedTree> {
  const root = join(rig.folder, "tree");
  mkdirSync(root);
  const paths = { data: join(rig.folder, "data"), meta: join(rig.folder, "meta") };
  writeFileSync(paths.data, Buffer.alloc(sample.data.length));
  writeFileSync(paths.meta, writeErofs({ root: tree, blockSize, dataSize: sample.data.length }));
  const [dataFd, metaFd] = [openSync(paths.data, "r+"), openSync(paths.meta, "r")];
  rig.plane.addLayer({ number: 1, dataFd, metaFd, units: sample.table.buffer, present: new Uint8Array(1) });
  closeSync(dataFd);
  closeSync(metaFd);
  rig.onMiss = ({ firstUnit, lastUnit }) => void ingest(rig, 1, sample, { firstUnit, lastUnit });
  const fuseFd = binding.openFuse();
  rig.plane.openSession({ kind: sessionKinds.tree, layer: 1, fuseFd, adopted: false });
  await mountFuse({ binding, fuseFd, target: root, kind: sessionKinds.tree });
  return {
    rig,
    root,
    [Symbol.asyncDispose]: async () => {
      await unmountFuse(binding, root);
      await rig[Symbol.asyncDispose]();
    },
  };
}

t.test("a tree session shows the image's metadata and the layer's bytes", async (t) => {
  for (const blockSize of [512, 4096] as const) {
    await using mounted = await mountTree(sampleTree([]), blockSize);
    const { root } = mounted;
    const { stdout } = await run("find", [
      root,
      "-maxdepth",
      "1",
      "-printf",
      "%P %y %m %U %G %s %n %T@ %l\n",
    ]);
    const time = "1600000000.1234567890";
    const lines = new Set(stdout.split("\n"));
    for (const line of [
      `first f 755 0 12 150000 2 ${time} `,
      `again f 755 0 12 150000 2 ${time} `,
      `second f 4755 0 12 100000 1 ${time} `,
      `link l 777 0 12 10 1 ${time} some/where`,
    ]) {
      t.ok(lines.has(line), line);
    }
    t.match(stdout, /^null c 666 .*^pipe p 600 /ms);
    t.equal((await run("stat", ["-c", "%t:%T", join(root, "null")])).stdout, "1:3\n");
    t.equal((await run("ls", ["-U", join(root, "many")])).stdout.split("\n").length, 3001);
    t.equal((await run("ls", [join(root, "naïve")])).stdout, "inner\n");
    t.equal(await sumFromOutside(join(root, "first")), sha256(content.subarray(0, 150_000)));
    t.equal(await sumFromOutside(join(root, "second")), sha256(content.subarray(SECOND)));
    await t.rejects(run("cat", [join(root, "absent")]), /No such file/);
    await t.rejects(run("touch", [join(root, "new")]), /Read-only file system/);
    await t.rejects(
      run("setpriv", ["--reuid=65534", "--clear-groups", "cat", join(root, "secret")]),
      /Permission denied|No such file/,
    );
  }
});

t.test("a tree session asks nothing twice", async (t) => {
  await using mounted = await mountTree(sampleTree([]));
  const { rig, root } = mounted;
  const look = async (): Promise<void> => {
    const script =
      'cd "$1"; ls -lR . >/dev/null; cat first second >/dev/null; readlink link >/dev/null; ! test -e absent';
    await run("bash", ["-c", script, "bash", root]);
  };
  await look();
  const first = rig.plane.stats();
  await look();
  const second = rig.plane.stats();
  for (const counter of ["lookups", "getattrs", "opens", "reads", "readdirs", "xattrs"] as const) {
    t.equal(second[counter], first[counter], counter);
  }
});

t.test("a tree session has the image's extended attributes", async (t) => {
  const xattrs: Xattr[] = [
    { name: bytesOfText("user.colour"), value: Buffer.from("blue") },
    {
      name: bytesOfText("security.capability"),
      value: Buffer.from("0100000200040000000000000000000000000000", "hex"),
    },
  ];
  await using mounted = await mountTree(sampleTree(xattrs));
  const { root } = mounted;
  const { stdout } = await run("getfattr", [
    "-d",
    "-m",
    "-",
    "-e",
    "hex",
    "--absolute-names",
    join(root, "first"),
  ]);
  t.match(stdout, "user.colour=0x626c7565");
  t.match(stdout, "security.capability=0x0100000200040000000000000000000000000000");
  t.equal((await run("getfattr", ["-d", "-m", "-", join(root, "second")])).stdout, "");
  await t.rejects(run("getfattr", ["-n", "user.shape", join(root, "first")]), /No such attribute/);
});
