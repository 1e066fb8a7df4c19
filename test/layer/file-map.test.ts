import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import t from "tap";
import { bytesOfText, type Digest, sha256, textOfBytes } from "../../src/bytes/index.js";
import { writeErofs } from "../../src/erofs/index.js";
import { LazuliError } from "../../src/errors/index.js";
import { FileMaps, type FilePart } from "../../src/layer/index.js";
import { layerPaths } from "../../src/layer/paths.js";
import type { DirectoryNode, FileNode } from "../../src/tree/index.js";
import { directory, file, makeRandom, randomTree } from "../erofs/trees.js";

const digest = sha256(Buffer.from("a layer"));

class Node implements AsyncDisposable {
  readonly maps: FileMaps;
  constructor(readonly root: string) {
    this.maps = new FileMaps({ root });
  }
  static async make(): Promise<Node> {
    return new Node(await mkdtemp(join(tmpdir(), "lazuli-file-map-")));
  }
  async put(meta: Buffer, name: Digest = digest): Promise<void> {
    const path = layerPaths(this.root, name).meta;
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, meta);
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await this.maps[Symbol.asyncDispose]();
    await rm(this.root, { recursive: true, force: true });
  }
}

/** Files that have bytes, by the first path that names them; names that are no UTF-8 are left out. */
function filesOf(root: DirectoryNode): Map<string, FileNode> {
  const found = new Map<string, FileNode>();
  const waiting: [string, DirectoryNode][] = [["", root]];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    for (const [name, node] of next[1].children) {
      const text = textOfBytes(name);
      if (bytesOfText(text) !== name) continue;
      if (node.kind === "directory") waiting.push([`${next[0]}${text}/`, node]);
      if (node.kind === "file" && node.size > 0n) found.set(`${next[0]}${text}`, node);
    }
  }
  return found;
}

for (const blockSize of [512, 4096] as const) {
  t.test(`FileMaps finds files by place and places by file, with blocks of ${blockSize}`, async (t) => {
    await using node = await Node.make();
    for (const seed of [11, 12, 13]) {
      const { root, data } = randomTree(seed, { count: 900, blockSize });
      await node.put(writeErofs({ root, blockSize, dataSize: data.length }));
      const files = [...filesOf(root)];
      const parts = files.map(([path, { size }]): FilePart => {
        return { path, fileSize: Number(size), offset: 0, length: Number(size) };
      });
      const ranges = await node.maps.rangesOf(digest, parts);
      t.same(
        ranges,
        files.map(([, { size, dataOffset }]) => ({ offset: Number(dataOffset), length: Number(size) })),
        `seed ${seed}: all ${files.length} are where they are`,
      );
      const random = makeRandom(seed);
      const asked = Array.from({ length: 40 }, (_, at) => ({
        offset: Math.floor((data.length / 40) * at),
        length: 1 + random(Math.floor(data.length / 40) - 1),
      })).reverse();
      const found = await node.maps.filesIn(digest, asked);
      t.ok(found.length > 0);
      for (const { range, path, fileSize, offset, length } of found) {
        const own = filesOf(root).get(path)!;
        const start = Number(own.dataOffset) + offset;
        const { offset: from, length: many } = asked[range]!;
        if (start < from || start + length > from + many || Number(own.size) !== fileSize) {
          t.fail(`${path} does not lie there`);
        }
      }
      t.same(
        found.map(({ range }) => range),
        found.map(({ range }) => range).toSorted((left, right) => left - right),
        "in the order of the ranges",
      );
      const back = await node.maps.rangesOf(digest, found);
      const bytes = back.reduce((sum, range) => sum + (range?.length ?? 0), 0);
      t.equal(
        bytes,
        found.reduce((sum, { length }) => sum + length, 0),
        "and each leads back",
      );
    }
  });
}

t.test(
  "FileMaps passes over files that are gone or have another size, and cuts what is beyond",
  async (t) => {
    await using node = await Node.make();
    const shared = file(9000, 4096);
    const root = directory({
      usr: directory({ bin: shared, again: shared }),
      note: file(10, 0),
      empty: file(0),
    });
    await node.put(writeErofs({ root, blockSize: 4096, dataSize: 16_384 }));
    const one = (path: string, fileSize: number, offset = 0, length = fileSize): FilePart => {
      return { path, fileSize, offset, length };
    };
    t.same(
      await node.maps.rangesOf(digest, [
        one("usr/bin", 9000, 8000, 5000),
        one("usr/again", 9000),
        one("usr/bin", 9001),
        one("usr", 9000),
        one("usr/bin/deeper", 9000),
        one("note", 10, 10, 1),
        one("empty", 0, 0, 1),
        one("", 10),
        one("..", 10),
        one("absent", 10),
      ]),
      [{ offset: 12_096, length: 1000 }, { offset: 4096, length: 9000 }, ...Array(8).fill(undefined)],
    );
    const found = await node.maps.filesIn(digest, [{ offset: 0, length: 16_384 }]);
    t.equal(found.length, 2, "a file with two names comes once");
    t.same(await node.maps.filesIn(digest, []), []);
  },
);

t.test("FileMaps refuses a layer that is gone or damaged, and answers the next question", async (t) => {
  await using node = await Node.make();
  const question = [{ offset: 0, length: 1_000_000 }];
  await t.rejects(node.maps.filesIn(digest, question), /ENOENT/);
  const { root, data } = randomTree(5, { count: 300, blockSize: 512 });
  const meta = writeErofs({ root, blockSize: 512, dataSize: data.length });
  const random = makeRandom(99);
  let refused = 0;
  for (let round = 0; round < 150; round += 1) {
    const damaged = Buffer.from(meta.subarray(0, round % 3 === 0 ? random(meta.length) : meta.length));
    for (let flip = 0; flip < 40 && damaged.length > 0; flip += 1)
      damaged[random(damaged.length)]! ^= 1 << random(8);
    await node.put(damaged);
    try {
      await node.maps.filesIn(digest, question);
    } catch (thrown) {
      refused += 1;
      const { code } = LazuliError.from(thrown);
      if (!["DATA_LOSS", "RESOURCE_EXHAUSTED"].includes(code)) t.fail(`${code}: ${thrown}`);
    }
  }
  t.ok(refused > 20, `${refused} of 150 were refused`);
  await node.put(meta);
  t.ok((await node.maps.filesIn(digest, question)).length > 0);
  await node.maps[Symbol.asyncDispose]();
  await t.rejects(node.maps.filesIn(digest, question), /closed/);
});
