import { randomBytes } from "node:crypto";
import { gzipSync } from "node:zlib";
import { streamReasons } from "../../src/fuse/index.js";
import { zstd } from "../../testing/zstdchunked-builder.js";
import { prose } from "../soci/sample-layer.js";
import { casesOf, joined, patched, repeated } from "./streams-case.js";

const { taken, refused } = casesOf("zstd");
const { truncated, corrupt, trailingGarbage, checksum, tooLarge } = streamReasons;

const MAGIC = Buffer.of(0x28, 0xb5, 0x2f, 0xfd);
const SINGLE = 0x20;
const HAS_CHECKSUM = 4;
const BLOCK_MAX = 128 * 1024;
const [RAW, RLE, COMPRESSED, RESERVED] = [0, 1, 2, 3];

/** A block (RFC 8878, 3.1.1.2); of RLE the size is that of what comes out. */
function block(type: number, size: number, bytes: Buffer, isLast = true): Buffer {
  const header = Buffer.alloc(3);
  header.writeUIntLE((size << 3) | (type << 1) | (isLast ? 1 : 0), 0, 3);
  return Buffer.concat([header, bytes]);
}

const rawBlock = (text: string, isLast = true): Buffer => block(RAW, text.length, Buffer.from(text), isLast);
const rle = (size: number, isLast = true): Buffer => block(RLE, size, Buffer.of(0), isLast);

/** A frame from the descriptor on. */
const frame = (descriptor: number, fields: readonly number[], ...blocks: readonly Buffer[]): Buffer =>
  Buffer.concat([MAGIC, Buffer.of(descriptor, ...fields), ...blocks]);
/** One with a window of 1 KiB to 3.75 TiB and no content size. */
const windowed = (window: number, ...blocks: readonly Buffer[]): Buffer => frame(0, [window], ...blocks);
const skippable = (nibble: number, size: number, bytes: Buffer = Buffer.alloc(size)): Buffer => {
  const header = Buffer.of(0x50 | nibble, 0x2a, 0x4d, 0x18, 0, 0, 0, 0);
  header.writeUInt32LE(size, 4);
  return Buffer.concat([header, bytes]);
};

const unpacksGzip = { otherwise: "the program unpacks gzip, too" };
const abc = Buffer.from("abc");
const none = Buffer.alloc(0);
const text = prose(3000, 4);
const good = await zstd(text);
const small = frame(SINGLE, [3], rawBlock("abc"));
const summed = good[4]! & HAS_CHECKSUM ? good : undefined;
if (summed === undefined) throw new Error("the sample has a checksum");
const legacy = { otherwise: "libzstd still decodes format 0.7, which no layer was ever made with" };
/** A raw block and the end, in format 0.7. */
const seventh = joined(0x27, 0xb5, 0x2f, 0xfd, SINGLE, 3, 0x40, 0, 3, abc, 0xc0, 0, 0);

export const zstdFrameCases = [
  taken("a frame", good, text),
  taken("a frame of one raw block", small, abc),
  refused("no bytes at all", truncated, none),
  refused("a byte of the magic", truncated, MAGIC.subarray(0, 1)),
  refused("the magic alone", truncated, MAGIC),
  refused("a wrong magic", corrupt, patched(good, 0, 0x29)),
  refused("a magic that is right for three bytes", corrupt, patched(good, 3, 0xfc)),
  refused("a gzip member", corrupt, gzipSync(text), unpacksGzip),
  refused("a tar archive", corrupt, joined("dir/", Buffer.alloc(508))),
  refused("text", corrupt, Buffer.from("<html>Sign in</html>")),
  refused("zeros", corrupt, Buffer.alloc(1024)),
  ...[0x1e, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27].map((first) =>
    refused(`legacy format ${first.toString(16)}`, corrupt, patched(good, 0, first)),
  ),
  refused("a frame of format 0.7", corrupt, seventh, legacy),
  refused("a dictionary's magic", corrupt, joined(0x37, 0xa4, 0x30, 0xec, Buffer.alloc(100))),
  refused("the reserved bit", corrupt, frame(SINGLE | 8, [3], rawBlock("abc"))),
  taken("the unused bit", frame(SINGLE | 16, [3], rawBlock("abc")), abc),
  taken("a dictionary of number 0", frame(SINGLE | 1, [0, 3], rawBlock("abc")), abc),
  refused("a dictionary of one byte", corrupt, frame(SINGLE | 1, [7, 3], rawBlock("abc"))),
  refused("a dictionary of two bytes", corrupt, frame(SINGLE | 2, [7, 7, 3], rawBlock("abc"))),
  refused("a dictionary of four bytes", corrupt, frame(SINGLE | 3, [1, 2, 3, 4, 3], rawBlock("abc"))),
  taken("no content size", windowed(0, rawBlock("abc")), abc),
  taken("a window of 128 MiB", windowed(17 << 3, rawBlock("abc")), abc),
  refused("a window of 144 MiB", corrupt, windowed((17 << 3) | 1, rawBlock("abc"))),
  refused("a window of 256 MiB", corrupt, windowed(18 << 3, rawBlock("abc"))),
  refused("a window of 2 GiB", corrupt, windowed(21 << 3, rawBlock("abc"))),
  refused("a window of 3.75 TiB", corrupt, windowed(255, rawBlock("abc"))),
];

const eight = (value: bigint): number[] => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(value);
  return [...bytes];
};

export const zstdSizeCases = [
  taken(
    "a content size of two bytes",
    frame(0x60, [44, 0], block(RAW, 300, Buffer.alloc(300, 1))),
    Buffer.alloc(300, 1),
  ),
  taken("a content size of four bytes", frame(0xa0, [3, 0, 0, 0], rawBlock("abc")), abc),
  taken("a content size of eight bytes", frame(0xe0, eight(3n), rawBlock("abc")), abc),
  taken("a content size of 0", frame(SINGLE, [0], rawBlock("")), none),
  refused("a content size of 0 for 3", corrupt, frame(SINGLE, [0], rawBlock("abc"))),
  refused("a content size that is too small", corrupt, frame(SINGLE, [2], rawBlock("abc"))),
  refused("a content size that is too large", corrupt, frame(SINGLE, [4], rawBlock("abc"))),
  refused(
    "a content size that is too large, and an empty block at the end",
    corrupt,
    frame(SINGLE, [4], rawBlock("abc", false), rawBlock("")),
  ),
  refused("a content size of 2^31", corrupt, frame(0xa0, [0, 0, 0, 128], rawBlock("abc"))),
  refused("a content size of 2^63", corrupt, frame(0xe0, eight(1n << 63n), rawBlock("abc"))),
  refused(
    "a content size of 2^63 with a window",
    corrupt,
    frame(0xc0, [0, ...eight(1n << 63n)], rawBlock("abc")),
  ),
  refused(
    "a content size of 2^64 - 2",
    corrupt,
    frame(0xc0, [0, ...eight((1n << 64n) - 2n)], rawBlock("abc")),
  ),
  refused("a content size that is cut", truncated, frame(0xe0, [1, 2, 3])),
];

export const zstdBlockCases = [
  refused("a block of type 3", corrupt, frame(SINGLE, [3], block(RESERVED, 3, abc))),
  taken(
    "empty blocks before the last",
    windowed(0, repeated(rawBlock("", false), 10_000), rawBlock("abc")),
    abc,
  ),
  refused("no last block", truncated, windowed(0, rawBlock("abc", false))),
  refused("a raw block longer than the blob", truncated, windowed(0, block(RAW, 900, abc))),
  refused(
    "a raw block longer than blocks may be",
    corrupt,
    windowed(80, block(RAW, BLOCK_MAX + 1, Buffer.alloc(BLOCK_MAX + 1))),
  ),
  refused("a raw block longer than its window", corrupt, windowed(0, block(RAW, 1025, Buffer.alloc(1025)))),
  taken("a block of one byte, repeated", windowed(80, rle(BLOCK_MAX)), Buffer.alloc(BLOCK_MAX)),
  refused("a repeated byte without the byte", truncated, windowed(80, block(RLE, 9, none))),
  refused("a byte repeated 2 MiB times", corrupt, windowed(80, rle(0x1f_ffff))),
  taken("a compressed block of no bytes", windowed(0, block(COMPRESSED, 0, none)), none),
  refused("a compressed block of one byte", corrupt, windowed(0, block(COMPRESSED, 1, Buffer.of(0)))),
  refused(
    "literals longer than their block",
    corrupt,
    windowed(80, block(COMPRESSED, 4, Buffer.of(0xf8, 1, 2, 3))),
  ),
  refused(
    "literals of an earlier table that is none",
    corrupt,
    windowed(80, block(COMPRESSED, 5, Buffer.of(0x43, 0x80, 0, 1, 0))),
  ),
  refused(
    "a tree of Huffman weights that lead nowhere",
    corrupt,
    windowed(80, block(COMPRESSED, 9, Buffer.of(0x42, 0x40, 1, 128, 0, 0, 0, 0, 0))),
  ),
  refused(
    "sequences without literals",
    corrupt,
    windowed(80, block(COMPRESSED, 6, Buffer.of(0, 1, 0, 1, 2, 3))),
  ),
  refused(
    "sequences of a table that was never made",
    corrupt,
    windowed(80, block(COMPRESSED, 6, Buffer.of(0, 1, 0xfc, 1, 2, 3))),
  ),
  refused(
    "sequences of reserved modes",
    corrupt,
    windowed(80, block(COMPRESSED, 6, Buffer.of(0, 1, 3, 1, 2, 3))),
  ),
  refused(
    "more sequences than bytes",
    corrupt,
    windowed(80, block(COMPRESSED, 5, Buffer.of(0, 255, 255, 255, 0))),
  ),
];

export const zstdTrailerCases = [
  refused("a checksum with one bit changed", checksum, patched(good, -1, good.at(-1)! ^ 1)),
  refused("a checksum of zeros", checksum, patched(good, -4, 0, 0, 0, 0)),
  refused("half a checksum", truncated, good.subarray(0, -2)),
  refused("no checksum where one is announced", truncated, good.subarray(0, -4)),
  refused("a checksum where none is announced", trailingGarbage, patched(good, 4, good[4]! & ~HAS_CHECKSUM)),
  taken("two frames", joined(good, small), joined(text, abc)),
  taken("5,000 frames", repeated(small, 5000), Buffer.from("abc".repeat(5000))),
  refused(
    "a second frame with a wrong checksum",
    checksum,
    joined(small, patched(good, -1, good.at(-1)! ^ 1)),
  ),
  refused("a second frame that is cut", truncated, joined(small, good.subarray(0, 50))),
  refused("two bytes of another magic", truncated, joined(small, 0x28, 0xb5)),
  refused("one zero behind", trailingGarbage, joined(small, 0)),
  refused("three bytes behind", trailingGarbage, joined(small, "end")),
  refused("512 zeros behind", trailingGarbage, joined(small, Buffer.alloc(512))),
  refused("a gzip member behind", trailingGarbage, joined(small, gzipSync("x")), unpacksGzip),
  refused("random bytes behind", trailingGarbage, joined(small, 1, randomBytes(100))),
  refused("a legacy frame behind", trailingGarbage, joined(small, seventh), legacy),
  ...Array.from({ length: 16 }, (_, nibble) =>
    taken(`skippable frame ${nibble}`, joined(skippable(nibble, 5), small, skippable(nibble, 0)), abc),
  ),
  taken("a skippable frame alone", skippable(0, 9), none),
  taken("10,000 skippable frames", joined(repeated(skippable(3, 1), 10_000), small), abc),
  taken("a skippable frame of 1 MiB", joined(small, skippable(0, 1 << 20)), abc),
  refused("a skippable frame of 4 GiB", truncated, joined(small, skippable(0, 0xffff_ffff, abc))),
  refused("a skippable frame cut in its size", truncated, joined(small, skippable(0, 5).subarray(0, 6))),
  refused("a skippable frame one byte short", truncated, joined(small, skippable(0, 5).subarray(0, -1))),
];

const MIB = 1 << 20;
const bounded = { dataSizeMax: MIB, otherwise: "the program has no limit" };
const bomb = windowed(80, repeated(rle(BLOCK_MAX, false), 256), rle(1));

export const zstdBombCases = [
  refused("32,000 to one", tooLarge, bomb, bounded),
  refused(
    "one byte more than allowed",
    tooLarge,
    windowed(80, repeated(rle(BLOCK_MAX, false), 8), rle(1)),
    bounded,
  ),
  taken(
    "just as much as allowed",
    windowed(80, repeated(rle(BLOCK_MAX, false), 7), rle(BLOCK_MAX)),
    Buffer.alloc(MIB),
    {
      dataSizeMax: MIB,
    },
  ),
  refused(
    "many frames that are too much together",
    tooLarge,
    repeated(windowed(80, rle(BLOCK_MAX)), 9),
    bounded,
  ),
  taken("a bomb in a frame, opened once", await zstd(bomb), bomb, { dataSizeMax: MIB }),
  refused("a byte where none is allowed", tooLarge, small, { ...bounded, dataSizeMax: 0 }),
  taken("nothing where nothing is allowed", skippable(0, 0), none, { dataSizeMax: 0 }),
  refused("a bomb that is cut", tooLarge, bomb.subarray(0, -5), bounded),
];

const raw = casesOf("raw");
export const rawCases = [
  raw.taken("no bytes at all", none, none),
  raw.taken("one byte", abc.subarray(0, 1), abc.subarray(0, 1)),
  raw.taken("an archive whose last block is short", text, text),
  raw.taken("just as much as allowed", text, text, { dataSizeMax: text.length }),
  raw.refused("one byte more than allowed", tooLarge, text, { dataSizeMax: text.length - 1 }),
  raw.taken("gzip in an archive's place", gzipSync(text), gzipSync(text)),
  raw.taken("1 MiB of zeros", Buffer.alloc(MIB), Buffer.alloc(MIB)),
];
