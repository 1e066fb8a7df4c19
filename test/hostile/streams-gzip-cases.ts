import { crc32, deflateRawSync, deflateSync, gzipSync } from "node:zlib";
import { streamReasons } from "../../src/fuse/index.js";
import { prose } from "../soci/sample-layer.js";
import { casesOf, joined, patched, repeated } from "./streams-case.js";
import { member, storedMember } from "./streams-gzip.js";

const { taken, refused } = casesOf("gzip");
const { truncated, corrupt, trailingGarbage, checksum, length, tooLarge } = streamReasons;

const FTEXT = 1;
const FHCRC = 2;
const FEXTRA = 4;
const FNAME = 8;
const FCOMMENT = 16;

const text = prose(1500, 3);
const packed = deflateRawSync(text);
const good = gzipSync(text);
const none = Buffer.alloc(0);
const empty = gzipSync(none);
const zeros = (size: number): Buffer => Buffer.alloc(size);
const extra = (size: number, bytes: Buffer): Buffer => joined(size & 255, size >>> 8, bytes);
const headed = (flags: number, fields: Buffer): Buffer => member(packed, text, { flags, fields });

/** A header with its checksum, which `flip` makes wrong. */
function withHeaderCrc(flags: number, fields: Buffer, flip = 0): Buffer {
  const header = Buffer.concat([Buffer.of(0x1f, 0x8b, 8, flags | FHCRC, 0, 0, 0, 0, 0, 255), fields]);
  const sum = (crc32(header) & 0xffff) ^ flip;
  return headed(flags | FHCRC, joined(fields, sum & 255, sum >>> 8));
}

export const gzipHeaderCases = [
  taken("a plain member", good, text),
  refused("no bytes at all", truncated, none),
  refused("the first byte of the magic alone", truncated, Buffer.of(0x1f)),
  refused("the magic alone", truncated, Buffer.of(0x1f, 0x8b)),
  refused("a header without a body", truncated, good.subarray(0, 10)),
  ...[
    [0x1f, 0x8a],
    [0x1f, 0x8c],
    [0x1f, 0x9d],
    [0x1f, 0xa0],
    [0x8b, 0x1f],
    [0x00, 0x00],
    [0x50, 0x4b],
    [0x42, 0x5a],
    [0xfd, 0x37],
  ].map(([one = 0, two = 0]) => refused(`the magic ${one} ${two}`, corrupt, patched(good, 0, one, two))),
  refused("a zlib stream", corrupt, deflateSync(text)),
  refused("bare deflate", corrupt, packed),
  refused("a tar archive", corrupt, joined("dir/", zeros(508))),
  refused("text", corrupt, Buffer.from("<html>Sign in</html>".repeat(20))),
  refused("a zstd frame", corrupt, Buffer.of(0x28, 0xb5, 0x2f, 0xfd, 0x20, 0, 1, 0, 0)),
  ...[0, 7, 9, 255].map((method) =>
    refused(`compression method ${method}`, corrupt, member(packed, text, { method })),
  ),
  ...[0x20, 0x40, 0x80, 0xe0].map((flags) =>
    refused(`reserved flags ${flags}`, corrupt, headed(flags, none)),
  ),
  taken("the flag of text", headed(FTEXT, none), text),
  taken("the latest time, all extra flags", patched(good, 4, 255, 255, 255, 255, 255), text),
  taken("an unknown system", patched(good, 9, 99), text),
  taken("an extra field of no bytes", headed(FEXTRA, extra(0, none)), text),
  taken("an extra field of 65535 bytes", headed(FEXTRA, extra(65_535, zeros(65_535))), text),
  taken("an extra field whose subfields lie", headed(FEXTRA, extra(4, Buffer.of(65, 80, 255, 255))), text),
  refused("an extra field longer than the blob", truncated, headed(FEXTRA, extra(65_535, none))),
  refused("an extra field cut in its length", truncated, headed(FEXTRA, Buffer.of(9)).subarray(0, 11)),
  taken("an empty name", headed(FNAME, Buffer.of(0)), text),
  taken("a name of 1 MiB", headed(FNAME, joined(Buffer.alloc(1 << 20, 97), 0)), text),
  taken("a name that leads out", headed(FNAME, Buffer.from("../../etc/passwd\0")), text),
  taken("a name of invalid bytes", headed(FNAME, Buffer.of(255, 254, 10, 13, 0)), text),
  refused("a name without an end", truncated, joined(headed(FNAME, none).subarray(0, 10), "n".repeat(9000))),
  taken("a comment of 64 KiB", headed(FCOMMENT, joined("c".repeat(65_536), 0)), text),
  refused(
    "a comment without an end",
    truncated,
    joined(headed(FCOMMENT, none).subarray(0, 10), "c".repeat(99)),
  ),
  refused(
    "a name that eats the body",
    truncated,
    joined(headed(FNAME | FCOMMENT, Buffer.from("n\0")).subarray(0, 12), "no zero"),
  ),
  taken("a checksum of the header", withHeaderCrc(0, none), text),
  taken("all fields at once", withHeaderCrc(31, joined(extra(2, Buffer.of(1, 2)), "n\0", "c\0")), text),
  refused("a wrong checksum of the header", corrupt, withHeaderCrc(0, none, 1)),
  refused(
    "a wrong checksum of a header with a name",
    corrupt,
    withHeaderCrc(FNAME, Buffer.from("n\0"), 0x8000),
  ),
  refused("a checksum of the header cut in two", truncated, withHeaderCrc(0, none).subarray(0, 11)),
];

const trailerOf = (sum: number, size: number): Buffer => {
  const trailer = zeros(8);
  trailer.writeUInt32LE(sum >>> 0, 0);
  trailer.writeUInt32LE(size >>> 0, 4);
  return trailer;
};
const body = good.subarray(0, -8);

export const gzipTrailerCases = [
  refused("a CRC with one bit changed", checksum, patched(good, -8, good.at(-8)! ^ 1)),
  refused("a CRC of zero", checksum, joined(body, trailerOf(0, text.length))),
  refused("an inverted CRC", checksum, joined(body, trailerOf(~crc32(text), text.length))),
  refused("the CRC of the compressed bytes", checksum, joined(body, trailerOf(crc32(packed), text.length))),
  refused("CRC and size exchanged", checksum, joined(body, trailerOf(text.length, crc32(text)))),
  refused("a size one too small", length, joined(body, trailerOf(crc32(text), text.length - 1))),
  refused("a size one too large", length, joined(body, trailerOf(crc32(text), text.length + 1))),
  refused("a size of zero", length, joined(body, trailerOf(crc32(text), 0))),
  refused("a size of 4 GiB - 1", length, joined(body, trailerOf(crc32(text), 0xffff_ffff))),
  refused("no trailer", truncated, body),
  refused("half a trailer", truncated, good.subarray(0, -4)),
  refused("no trailer, but another member", checksum, joined(body, good)),
  taken("a member without contents", empty, none),
  refused("a member without contents, and a CRC", checksum, patched(empty, -8, 1)),
  refused("a member without contents, and a size", length, patched(empty, -4, 1)),
];

const zerosAreFine = {
  otherwise: "zeros behind a member are padding to gunzip; a layer has no reason for them",
};

export const gzipMemberCases = [
  taken("two members", joined(good, good), joined(text, text)),
  taken("an empty member first", joined(empty, good), text),
  taken("an empty member last", joined(good, empty), text),
  taken("10,000 empty members", repeated(empty, 10_000), none),
  taken("10,000 empty members, then one that is not", joined(repeated(empty, 10_000), good), text),
  taken("5,000 members of a byte", repeated(gzipSync("x"), 5000), Buffer.alloc(5000, "x")),
  taken("members with names of their own", repeated(headed(FNAME, Buffer.from("a\0")), 3), repeated(text, 3)),
  refused("a second member with a wrong CRC", checksum, joined(good, patched(good, -8, good.at(-8)! ^ 255))),
  refused("a second member with a wrong size", length, joined(good, patched(good, -1, 1))),
  refused("a second member with a reserved flag", corrupt, joined(good, patched(good, 3, 0x80))),
  refused("a second member of another method", corrupt, joined(good, patched(good, 2, 9))),
  refused("a second member that is cut", truncated, joined(good, good.subarray(0, -1))),
  refused("a second member of one byte", truncated, joined(good, good.subarray(0, 1))),
  refused("a second member of two bytes", truncated, joined(good, good.subarray(0, 2))),
  refused("a second member of nine bytes", truncated, joined(good, good.subarray(0, 9))),
  refused("one zero behind", trailingGarbage, joined(good, 0), zerosAreFine),
  refused("512 zeros behind", trailingGarbage, joined(good, zeros(512)), zerosAreFine),
  refused("1 MiB of zeros behind", trailingGarbage, joined(good, zeros(1 << 20)), zerosAreFine),
  refused("zeros between members", trailingGarbage, joined(good, zeros(8), good), zerosAreFine),
  refused("text behind", trailingGarbage, joined(good, "tail")),
  refused("half a magic and something else", trailingGarbage, joined(good, 0x1f, 0x8c)),
  refused("a zlib stream behind", trailingGarbage, joined(good, deflateSync(text))),
  refused("a zstd frame behind", trailingGarbage, joined(good, 0x28, 0xb5, 0x2f, 0xfd, 0x20, 0, 1, 0, 0)),
  refused("the trailer twice", trailingGarbage, joined(good, good.subarray(-8))),
  refused("one byte missing between members", length, joined(good.subarray(0, -1), good)),
];

const MIB = 1 << 20;
const bomb = gzipSync(zeros(32 * MIB), { level: 9 });
const small = { dataSizeMax: MIB, otherwise: "the program has no limit" };

export const gzipBombCases = [
  refused("1000 to one", tooLarge, bomb, small),
  refused("one byte more than allowed", tooLarge, gzipSync(zeros(MIB + 1)), small),
  taken("just as much as allowed", gzipSync(zeros(MIB)), zeros(MIB), { dataSizeMax: MIB }),
  refused("a byte where none is allowed", tooLarge, gzipSync("x"), { ...small, dataSizeMax: 0 }),
  taken("nothing where nothing is allowed", empty, none, { dataSizeMax: 0 }),
  refused("many members that are too much together", tooLarge, repeated(gzipSync(zeros(10_000)), 200), small),
  taken("a bomb in a bomb, opened once", gzipSync(gzipSync(bomb)), gzipSync(bomb), { dataSizeMax: MIB }),
  refused("a bomb with a trailer that lies", tooLarge, patched(bomb, -4, 1, 0, 0, 0), small),
  refused("a bomb that is cut", tooLarge, bomb.subarray(0, -100), small),
  refused("stored bytes that are too many", tooLarge, storedMember(zeros(2000)), {
    ...small,
    dataSizeMax: 1999,
  }),
];
