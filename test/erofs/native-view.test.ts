import { execFile, execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import t from "tap";
import { bytesOfText } from "../../src/bytes/index.js";
import { writeErofs } from "../../src/erofs/index.js";
import { type DirectoryNode, type TreeNode, walkTree } from "../../src/tree/index.js";
import { blockSizes, temporaryFolder } from "./mounted-image.js";
import { directory, facts, file, randomTree, symlink, xattr } from "./trees.js";

/** The sources as they are in the repository, seen from dist/test/erofs. */
const root = fileURLToPath(new URL("../../../", import.meta.url));
const samples = join(root, "native", "test");

const types = { fifo: 1, character: 2, directory: 4, block: 6, file: 8, symlink: 10, socket: 12 } as const;

/** A tree with all that the native reader has a branch for, in a few blocks. */
function sampleTree(blockSize: number): DirectoryNode {
  const xattrs = [xattr("user.note", "hello"), xattr("security.capability", Buffer.alloc(20, 1))];
  const shared = file(5 * blockSize + 1, blockSize, { xattrs, mode: 0o4755 });
  const names = Array.from({ length: 4 + blockSize / 256 }, (_, index) => `${index * 7919}`.padEnd(240, "n"));
  return directory({
    shared,
    again: shared,
    empty: file(0),
    short: symlink("shared"),
    long: symlink("t".repeat(blockSize === 512 ? 600 : 4095), { xattrs: [xattr("trusted.of-link", "x")] }),
    opaque: directory(
      {},
      { xattrs: [xattr("trusted.overlay.opaque", "y"), xattr("system.posix_acl_default", "")] },
    ),
    gone: { kind: "character", ...facts({ mode: 0 }), major: 0, minor: 0 },
    disk: { kind: "block", ...facts({ uid: 70_000 }), major: 259, minor: 300_000 },
    pipe: { kind: "fifo", ...facts({ mtime: { seconds: -1n, nanoseconds: 999_999_999 } }) },
    wide: directory(Object.fromEntries(names.map((name) => [name, file(0)]))),
  });
}

function hex(text: string): string {
  return Buffer.from(text, "latin1").toString("hex");
}

function contentOf(node: TreeNode): string {
  if (node.kind === "symlink") return hex(node.target);
  return node.kind === "file" ? `${node.dataOffset ?? 0n}+${node.size}` : "-";
}

function sizeOf(node: TreeNode): bigint {
  if (node.kind === "symlink") return BigInt(node.target.length);
  return node.kind === "file" ? node.size : 0n;
}

function deviceOf(node: TreeNode): number {
  if (node.kind !== "character" && node.kind !== "block") return 0;
  return (node.minor & 0xff) + node.major * 0x100 + Math.floor(node.minor / 0x100) * 0x100000;
}

function linksOf(node: TreeNode, names: number): number {
  if (node.kind !== "directory") return names;
  return 2 + [...node.children.values()].filter(({ kind }) => kind === "directory").length;
}

/** What the native reader must print of a tree, without the numbers of the inodes. */
function listingOf(tree: DirectoryNode): Map<string, { line: string; node: TreeNode }> {
  const paths = new Map<TreeNode, string>();
  const counts = new Map<TreeNode, number>();
  const rows: { path: string; node: TreeNode }[] = [];
  for (const { name, node, parent } of walkTree(tree)) {
    const path = parent === undefined ? "." : `${paths.get(parent)}/${name}`;
    if (node.kind === "directory") paths.set(node, path);
    counts.set(node, (counts.get(node) ?? 0) + 1);
    rows.push({ path, node });
  }
  return new Map(
    rows.map(({ path, node }) => {
      const mode = ((types[node.kind] << 12) | node.mode).toString(8);
      const time = `${node.mtime.seconds}.${node.mtime.nanoseconds}`;
      const links = linksOf(node, counts.get(node)!);
      const xattrs = [...node.xattrs]
        .sort((left, right) => (left.name < right.name ? -1 : 1))
        .map(({ name, value }) => `${hex(name)}=${value.toString("hex")}`);
      const line = `${mode} ${node.uid}:${node.gid} ${time} ${sizeOf(node)} links=${links} device=${deviceOf(node)} ${contentOf(node)} ${xattrs.join(",")}`;
      return [hex(path), { line, node }];
    }),
  );
}

async function compile(folder: string): Promise<string> {
  const program = join(folder, "erofs-image-test");
  const sources = ["test/erofs_image_test.cc", "core/erofs_image.cc", "core/crc32c.cc"];
  const flags = [
    "-std=c++20",
    "-O1",
    "-g",
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=all",
    "-Wall",
  ];
  const paths = sources.map((source) => join(root, "native", source));
  await promisify(execFile)("g++", [...flags, `-I${join(root, "native")}`, ...paths, "-o", program]);
  return program;
}

t.test("writeErofs() still writes the samples that the native tests damage", async (t) => {
  for (const blockSize of blockSizes) {
    const path = join(samples, `sample-${blockSize}.erofs`);
    const image = writeErofs({ root: sampleTree(blockSize), blockSize, dataSize: 20 * blockSize });
    if (process.env.LAZULI_WRITE_SAMPLES === "1") writeFileSync(path, image);
    t.ok(image.equals(readFileSync(path)), `${path} is what LAZULI_WRITE_SAMPLES=1 would write`);
  }
});

t.test("ErofsImage reads what writeErofs() wrote", async (t) => {
  using folder = temporaryFolder();
  const program = await compile(folder.path);
  for (const seed of [11, 12, 13, 14]) {
    const blockSize = blockSizes[seed % 2]!;
    const { root: tree, data } = randomTree(seed, { count: 400, blockSize });
    const large = 2n ** 40n + 5n;
    tree.children.set(bytesOfText("large"), file(large, data.length));
    const path = join(folder.path, "image");
    const dataSize = data.length + Number(large);
    writeFileSync(path, writeErofs({ root: tree, blockSize, dataSize }));
    const rows = execFileSync(program, ["--list", path], { encoding: "latin1", maxBuffer: 2 ** 28 }).split(
      "\n",
    );
    const wanted = listingOf(tree);
    const nodes = new Map<string, TreeNode>();
    t.equal(rows[0], `xattrs=1 inodes=${new Set([...wanted.values()].map(({ node }) => node)).size}`);
    t.equal(rows.length - 2, wanted.size, "as many names");
    for (const row of rows.slice(1, -1)) {
      const [, name = "", ino = ""] = /^(\S+) .* ino=(\d+) /.exec(row) ?? [];
      const seen = row.slice(name.length + 1).replace(` ino=${ino}`, "");
      const { line, node } = wanted.get(name) ?? {};
      if (seen !== line) t.equal(seen, line, Buffer.from(name, "hex").toString());
      if ((nodes.get(ino) ?? node) !== node) t.fail(`inode ${ino} is two files`);
      nodes.set(ino, node!);
    }
  }
  const plain = join(folder.path, "plain");
  writeFileSync(plain, writeErofs({ root: directory({ a: file(0) }), blockSize: 512, dataSize: 0 }));
  const [first] = execFileSync(program, ["--list", plain], { encoding: "latin1" }).split("\n");
  t.equal(first, "xattrs=0 inodes=2", "an image without attributes says so");
});
