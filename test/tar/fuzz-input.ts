import { Random } from "../../testing/crash/random.js";
import { base256, paxRecord, type RawEntry, rawTar } from "../../testing/tar/index.js";

const BLOCK = 512;
/** A mutant is at most this much longer than its seed. */
const GROWTH_BYTES_MAX = 64 * 1024;

const pax = (...records: readonly (readonly [string, string])[]): Pick<RawEntry, "pax"> => ({ pax: records });
const sparse = (major: string, minor: string): readonly (readonly [string, string])[] => [
  ["GNU.sparse.major", major],
  ["GNU.sparse.minor", minor],
  ["GNU.sparse.name", "sparse"],
];

/** Small archives of all dialects, from which mutants are made. */
const seeds: readonly Buffer[] = [
  rawTar(
    { name: "d/", type: "5" },
    { name: "d/a", content: "content".repeat(100), mode: 0o4755, uid: 5 },
    { name: "d/l", type: "2", link: "a" },
    { name: "d/h", type: "1", link: "d/a" },
    { name: "c", type: "3", major: 1, minor: 3 },
    { name: "f", type: "6" },
    { name: "d/.wh.gone", content: "" },
    { name: "d/.wh..wh..opq", content: "" },
  ),
  rawTar(
    { name: "short", content: "x", ...pax(["path", "d/pax"], ["mtime", "1.5"], ["uid", "70000"]) },
    { name: "short", content: "four", size: 0, ...pax(["size", "4"]) },
    { name: "x", content: "", ...pax(["SCHILY.xattr.user.a", "v"], ["SCHILY.xattr.security.b", "w"]) },
    { name: "l", type: "2", link: "s", ...pax(["linkpath", "d/pax"]) },
    { name: "g", type: "g", content: paxRecord("comment", "global") },
    { name: "last", content: "end" },
  ),
  rawTar(
    { name: "././@LongLink", type: "L", format: "gnu", content: `${"n".repeat(120)}\0` },
    { name: "n", format: "gnu", content: "gnu" },
    { name: "././@LongLink", type: "K", format: "gnu", content: "target\0" },
    { name: "k", type: "2", format: "gnu", link: "t" },
    { name: "big", format: "gnu", uid: base256(70_000n, 8), size: base256(3n, 12), content: "big" },
    { name: "v7", format: "v7", content: "old" },
    { name: "star", format: "star", prefix: "p", content: "star" },
  ),
  rawTar(
    {
      name: "s",
      content: "data".repeat(128),
      pax: [
        ...sparse("0", "1"),
        ["GNU.sparse.size", "2048"],
        ["GNU.sparse.numblocks", "1"],
        ["GNU.sparse.map", "512,512"],
      ],
    },
    {
      name: "s",
      content: `${"1\n512\n512\n".padEnd(BLOCK, "\0")}${"data".repeat(128)}`,
      pax: [...sparse("1", "0"), ["GNU.sparse.realsize", "2048"]],
    },
    { name: "after", content: "after" },
  ),
];

const FIELDS: readonly (readonly [at: number, length: number])[] = [
  [0, 100],
  [100, 8],
  [108, 8],
  [116, 8],
  [124, 12],
  [136, 12],
  [148, 8],
  [156, 1],
  [157, 100],
  [257, 8],
  [329, 8],
  [337, 8],
  [345, 155],
];
const INTERESTING: readonly Buffer[] = [
  "\0",
  "0",
  " ",
  "7777777\0",
  "00000000012\0",
  "77777777777\0",
  "-1",
  "8",
  "..",
  "../a",
  "/",
  "d/",
  "l/x",
  "d/.wh.a",
  "x",
  "g",
  "L",
  "S",
  "5",
  "2",
  "ustar  \0",
].map((text) => Buffer.from(text, "latin1"));

/** An archive that is the same for the same seed and round: one of the seeds with a few changes. */
export function fuzzInput(seed: number, round: number): Buffer {
  const random = new Random(Math.imul(seed, 1_000_003) + round);
  let tar: Buffer = Buffer.from(random.pick(seeds)!);
  for (let changes = 1 + random.below(4); changes > 0; changes -= 1) tar = changed(tar, random);
  return tar;
}

function changed(tar: Buffer, random: Random): Buffer {
  const blocks = Math.floor(tar.length / BLOCK);
  const at = random.below(Math.max(1, blocks)) * BLOCK;
  switch (random.below(8)) {
    case 0:
      return tar.subarray(0, random.below(tar.length + 1));
    case 1: {
      const other = random.pick(seeds)!;
      return tar.length > GROWTH_BYTES_MAX
        ? tar
        : Buffer.concat([tar.subarray(0, at), other, tar.subarray(at)]);
    }
    case 2:
      return Buffer.concat([tar.subarray(0, at), tar.subarray(at + BLOCK)]);
    case 3: {
      const from = random.below(Math.max(1, blocks)) * BLOCK;
      return Buffer.concat([tar.subarray(0, at), tar.subarray(from, from + BLOCK), tar.subarray(at)]);
    }
    case 4:
      return changedByte(tar, at, random);
    default:
      return changedField(tar, at, random);
  }
}

function changedByte(tar: Buffer, at: number, random: Random): Buffer {
  if (at + BLOCK > tar.length) return tar;
  const place = at + random.below(BLOCK);
  tar[place] = random.chance(50) ? random.below(256) : 0x30 + random.below(10);
  if (random.chance(80)) sign(tar.subarray(at, at + BLOCK));
  return tar;
}

function changedField(tar: Buffer, at: number, random: Random): Buffer {
  const block = tar.subarray(at, at + BLOCK);
  // A field is changed where there is a header; elsewhere a change would only be noise.
  if (block.length < BLOCK || block.toString("latin1", 257, 262) !== "ustar") return tar;
  const [start, length] = random.pick(FIELDS)!;
  const value = random.chance(15) ? random.bytes(length) : random.pick(INTERESTING)!;
  block.fill(0, start, start + length);
  value.copy(block, start, 0, Math.min(length, value.length));
  if (random.chance(90)) sign(block);
  return tar;
}

function sign(block: Buffer): void {
  block.fill(0x20, 148, 156);
  let sum = 0;
  for (const byte of block) sum += byte;
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
}
