import { closeSync, existsSync, openSync, readdirSync, readSync, statSync, writeSync } from "node:fs";
import t from "tap";
import { type ByteString, bytesOfText } from "../../src/bytes/index.js";
import { type WriteErofsOptions, writeErofs } from "../../src/erofs/index.js";
import { LazuliError } from "../../src/errors/index.js";
import type { DirectoryNode, TreeNode } from "../../src/tree/index.js";
import { blockSizes, mountImage } from "./mounted-image.js";
import { directory, facts, file, randomTree, symlink, xattr } from "./trees.js";

const GIB = 1024 ** 3;

function reasonOf(root: DirectoryNode, options: Partial<WriteErofsOptions> = {}): string {
  try {
    writeErofs({ root, blockSize: 4096, dataSize: 0, ...options });
  } catch (error) {
    return error instanceof LazuliError ? `${error.code} ${error.reason}` : String(error);
  }
  return "written";
}

function named(name: string): DirectoryNode {
  return directory([[name as ByteString, file(0)]]);
}

t.test("writeErofs() refuses names that no directory of Linux has", async (t) => {
  for (const name of ["", ".", "..", "a/b", "/", "a\0", "\0", "n".repeat(256), "wide\u0100"]) {
    t.equal(reasonOf(named(name)), "INVALID_ARGUMENT file-name-invalid", JSON.stringify(name));
  }
  for (const name of ["...", " ", "\n", "\xff\xfe", "n".repeat(255), "-rf"]) {
    t.equal(reasonOf(named(name)), "written", JSON.stringify(name));
  }
});

t.test("writeErofs() refuses what no inode can hold", async (t) => {
  const refused: [string, TreeNode][] = [
    ["an empty link", symlink("")],
    ["a link of a page", symlink("t".repeat(4096))],
    ["a link with a zero", symlink("a\0b")],
    ["a mode with a type", file(0, undefined, { mode: 0o100644 })],
    ["a negative owner", file(0, undefined, { uid: -1 })],
    ["a group of 33 bits", file(0, undefined, { gid: 2 ** 32 })],
    ["a second of nanoseconds", file(0, undefined, { mtime: { seconds: 0n, nanoseconds: 1e9 } })],
    ["a time of 65 bits", file(0, undefined, { mtime: { seconds: 2n ** 63n, nanoseconds: 0 } })],
    ["a major number of 13 bits", { kind: "character", ...facts(), major: 4096, minor: 0 }],
    ["a broken minor number", { kind: "block", ...facts(), major: 0, minor: 0.5 }],
  ];
  for (const [what, node] of refused) {
    t.equal(reasonOf(directory({ node })), "INVALID_ARGUMENT inode-invalid", what);
  }
  t.equal(reasonOf(directory({}, { mode: -1 })), "INVALID_ARGUMENT inode-invalid", "the root, too");
});

t.test("writeErofs() refuses extended attributes that EROFS can't hold", async (t) => {
  const withXattrs = (...xattrs: ReturnType<typeof xattr>[]) =>
    directory({ node: file(0, undefined, { xattrs }) });
  const many = Array.from({ length: 5 }, (_, index) => xattr(`user.${index}`, Buffer.alloc(65_000)));
  t.equal(reasonOf(withXattrs(xattr("user.a", Buffer.alloc(65_536)))), "RESOURCE_EXHAUSTED xattr-too-large");
  t.equal(reasonOf(withXattrs(xattr("user.a", Buffer.alloc(65_535)))), "written");
  t.equal(reasonOf(withXattrs(...many)), "RESOURCE_EXHAUSTED xattr-too-large");
  t.equal(reasonOf(withXattrs(...many.slice(1))), "written");
  t.equal(reasonOf(withXattrs(xattr("user.a", ""), xattr("user.a", ""))), "INVALID_ARGUMENT xattr-invalid");
  t.equal(reasonOf(withXattrs(xattr("user.a\0", ""))), "INVALID_ARGUMENT xattr-invalid");
  t.equal(reasonOf(withXattrs(xattr(`user.${"n".repeat(251)}`, ""))), "INVALID_ARGUMENT xattr-invalid");
  for (const name of ["user.", "user", "system.other", "system.posix_acl_access2", "btrfs.x", ""]) {
    t.equal(reasonOf(withXattrs(xattr(name, ""))), "UNIMPLEMENTED xattr-prefix-unknown", name);
  }
});

t.test("writeErofs() refuses content outside the data file", async (t) => {
  const invalid = "INVALID_ARGUMENT file-placement-invalid";
  const placed = (size: bigint | number, offset?: bigint | number) => directory({ node: file(size, offset) });
  t.equal(reasonOf(placed(1), { dataSize: 4096 }), invalid, "nowhere");
  t.equal(reasonOf(placed(1, 1), { dataSize: 4096 }), invalid, "not at a block");
  t.equal(reasonOf(placed(1, 512), { dataSize: 4096 }), invalid, "at a smaller block");
  t.equal(reasonOf(placed(1, 512), { dataSize: 4096, blockSize: 512 }), "written");
  t.equal(reasonOf(placed(4097, 0), { dataSize: 4096 }), invalid, "too long");
  t.equal(reasonOf(placed(1, 4096), { dataSize: 4096 }), invalid, "behind the end");
  t.equal(reasonOf(placed(-1n, 0), { dataSize: 4096 }), invalid, "less than nothing");
  t.equal(reasonOf(placed(2n ** 64n, 0), { dataSize: 4096 }), invalid, "more than 64 bits");
  t.equal(reasonOf(placed(1, -4096), { dataSize: 4096 }), invalid, "before the start");
  const tooLarge = "INVALID_ARGUMENT data-file-too-large";
  t.equal(reasonOf(directory({}), { dataSize: 2 ** 32 * 512, blockSize: 512 }), tooLarge);
  t.equal(reasonOf(directory({}), { dataSize: (2 ** 32 - 1) * 512, blockSize: 512 }), "written");
  t.equal(reasonOf(directory({}), { dataSize: -1 }), tooLarge);
  t.equal(reasonOf(directory({}), { dataSize: 2 ** 60 }), tooLarge);
});

t.test("writeErofs() refuses a directory with two names", async (t) => {
  const inner = directory({});
  const twice = "INVALID_ARGUMENT directory-linked-twice";
  t.equal(reasonOf(directory({ a: inner, b: inner })), twice);
  const loop = directory({});
  loop.children.set(bytesOfText("self"), loop);
  t.equal(reasonOf(loop), twice, "the root in itself");
});

t.test("writeErofs() gives the same bytes for the same tree in whatever order", async (t) => {
  const { root, data } = randomTree(7, { count: 200, blockSize: 512 });
  const write = (tree: DirectoryNode) => writeErofs({ root: tree, blockSize: 512, dataSize: data.length });
  const turned: DirectoryNode = {
    ...root,
    xattrs: [...root.xattrs].reverse(),
    children: new Map([...root.children].reverse()),
  };
  t.ok(write(root).equals(write(randomTree(7, { count: 200, blockSize: 512 }).root)));
  t.ok(write(root).equals(write(turned)));
  t.notOk(write(root).equals(write({ ...root, mode: root.mode ^ 1 })));
});

t.test("writeErofs() goes as deep and as wide as the tree", async (t) => {
  let deep = directory({});
  for (let depth = 0; depth < 50_000; depth += 1) deep = directory({ d: deep });
  t.equal(reasonOf(deep), "written");
});

const COUNT = 100_000;

for (const blockSize of blockSizes) {
  t.test(
    `writeErofs() makes a directory of ${COUNT} names that are found, with blocks of ${blockSize}`,
    async (t) => {
      const nameOf = (index: number) => `name-${(index * 7919) % COUNT}${"x".repeat(index % 40)}`;
      const children = Array.from(
        { length: COUNT },
        (_, index) => [bytesOfText(nameOf(index)), file(0, undefined, { uid: index })] as const,
      );
      const root = directory({ wide: directory(children) });
      await using mounted = await mountImage({ root, blockSize, data: Buffer.alloc(0) });
      const wide = `${mounted.path}/wide`;
      const listed = readdirSync(wide, "latin1");
      t.equal(listed.length, COUNT);
      t.same(new Set(listed), new Set(children.map(([name]) => name)), "each name is listed once");
      for (let index = 0; index < COUNT; index += 61) {
        if (statSync(`${wide}/${nameOf(index)}`).uid !== index) t.fail(`${nameOf(index)} is another inode`);
        if (existsSync(`${wide}/${nameOf(index)}-`)) t.fail(`${nameOf(index)}- must not exist`);
      }
    },
  );

  t.test(`writeErofs() reaches every byte of huge files, with blocks of ${blockSize}`, async (t) => {
    const sizes = [4 * GIB - 1, 4 * GIB, 5 * GIB + 3, 1024 * GIB + 5 * blockSize + 1];
    const nodes: Record<string, TreeNode> = {};
    let dataSize = 0;
    for (const size of sizes) {
      nodes[size] = file(size, dataSize);
      dataSize += Math.ceil(size / blockSize) * blockSize;
    }
    await using mounted = await mountImage({
      root: directory(nodes),
      blockSize,
      data: Buffer.alloc(0),
      dataSize,
    });
    const data = openSync(mounted.dataPath, "r+");
    t.teardown(() => closeSync(data));
    let start = 0;
    for (const size of sizes) {
      const places = [0, 2 ** 32 - 2, 2 ** 40 + 1, size - 1].filter((place) => place < size);
      for (const place of places) writeSync(data, Buffer.from([place % 251]), 0, 1, start + place);
      const content = openSync(`${mounted.path}/${size}`, "r");
      for (const place of places) {
        const byte = Buffer.alloc(2);
        readSync(content, byte, 0, 2, place);
        if (byte[0] !== place % 251) t.fail(`${size}: ${byte[0]} at ${place}`);
      }
      t.equal(readSync(content, Buffer.alloc(9), 0, 9, size - 1), 1, `${size} ends where it must`);
      closeSync(content);
      start += Math.ceil(size / blockSize) * blockSize;
    }
  });
}
