import { deflateRawSync } from "node:zlib";
import { streamReasons } from "../../src/fuse/index.js";
import { prose } from "../soci/sample-layer.js";
import { casesOf, type StreamCase } from "./streams-case.js";
import { DeflateWriter, member } from "./streams-gzip.js";

const { taken, refused } = casesOf("gzip");
const { truncated, corrupt } = streamReasons;

const none = Buffer.alloc(0);
const deflate = (): DeflateWriter => new DeflateWriter();
const bad = (name: string, writer: DeflateWriter): StreamCase =>
  refused(name, corrupt, member(writer.bytes, none));
/** The blob ends where the writer does. */
const cut = (name: string, writer: DeflateWriter): StreamCase =>
  refused(name, truncated, member(writer.bytes, none).subarray(0, -8));
const fine = (name: string, writer: DeflateWriter, data: Buffer | string): StreamCase =>
  taken(name, member(writer.bytes, Buffer.from(data)), Buffer.from(data));

/** A window's worth of bytes that don't repeat, and a stored block of them that others may follow. */
const window = deflateRawSync(prose(40_000, 9)).subarray(0, 4096);
const farther = Buffer.concat(Array.from({ length: 8 }, (_, index) => window.map((byte) => byte ^ index)));

const storedCases = [
  fine("a stored block", deflate().stored(Buffer.from("ab")), "ab"),
  fine("a stored block of no bytes", deflate().stored(none), none),
  fine("a stored block of 65535 bytes", deflate().stored(Buffer.alloc(65_535, 7)), Buffer.alloc(65_535, 7)),
  bad("a stored block whose lengths disagree", deflate().stored(Buffer.from("ab"), true, 2, 2)),
  bad("a stored block whose inverse is off by one", deflate().stored(Buffer.from("ab"), true, 2, 0xfffc)),
  bad("a stored block of both lengths zero", deflate().stored(Buffer.from("ab"), true, 0, 0)),
  cut("a stored block longer than the blob", deflate().stored(Buffer.from("ab"), true, 60_000)),
  cut("a stored block cut in its length", deflate().block(0).align().bits(2, 8)),
  fine(
    "10,000 empty stored blocks",
    Array.from({ length: 10_000 })
      .reduce<DeflateWriter>((writer) => writer.stored(none, false), deflate())
      .stored(none),
    none,
  ),
];

const blockCases = [
  bad("a block of type 3", deflate().block(3)),
  bad("a block of type 3 behind a good one", deflate().stored(Buffer.from("ab"), false).block(3)),
  cut("no last block", deflate().stored(Buffer.from("ab"), false)),
  fine("an empty block of the fixed code", deflate().block(1).end(), none),
  fine(
    "10,000 empty blocks of the fixed code",
    Array.from({ length: 10_000 })
      .reduce<DeflateWriter>((writer) => writer.block(1, false).end(), deflate())
      .block(1)
      .end(),
    none,
  ),
  fine("literals of the fixed code", deflate().block(1).text("größe").end(), "größe"),
  cut("a fixed block without an end", deflate().block(1).text("some text")),
  bad("length code 286", deflate().block(1).text("abc").fixed(286).code(0, 5).end()),
  bad("length code 287", deflate().block(1).text("abc").fixed(287).code(0, 5).end()),
  bad("distance code 30", deflate().block(1).text("abc").match(30).end()),
  bad("distance code 31", deflate().block(1).text("abc").match(31).end()),
  fine(
    "length 258 in two ways",
    deflate().block(1).text("a").fixed(285).code(0, 5).fixed(284).bits(31, 5).code(0, 5).end(),
    "a".repeat(517),
  ),
];

const distanceCases = [
  fine("a distance to the first byte", deflate().block(1).text("abc").match(2).end(), "abcabc"),
  fine("a match that overlaps itself", deflate().block(1).text("a").match(0).end(), "aaaa"),
  bad("a match before the first byte", deflate().block(1).match(0).end()),
  bad("a distance one too far", deflate().block(1).text("abc").match(3).end()),
  bad(
    "the farthest distance with too little before",
    deflate().block(1).text("abc").match(29, 8191, 13).end(),
  ),
  fine(
    "the farthest distance",
    deflate().stored(farther, false).block(1).match(29, 8191, 13).end(),
    Buffer.concat([farther, farther.subarray(0, 3)]),
  ),
  bad(
    "the farthest distance, one byte too early",
    deflate().stored(farther.subarray(1), false).block(1).match(29, 8191, 13).end(),
  ),
  refused(
    "a distance into the member before",
    corrupt,
    Buffer.concat([
      member(deflate().stored(farther).bytes, farther),
      member(deflate().block(1).match(0).end().bytes, none),
    ]),
  ),
];

/** A code of lengths in which 0, 1, 2 and 18 have two bits: their codes are 0, 1, 2, 3. */
const lengths = { 0: 2, 1: 2, 2: 2, 18: 2 };
const [NO, ONE, TWO, RUN] = [0, 1, 2, 3];

/** A run of `count` (11 to 138) symbols without a code. */
const run = (writer: DeflateWriter, count: number): DeflateWriter => writer.code(RUN, 2).bits(count - 11, 7);

/** A dynamic block whose only literals are `a` and the end, and what comes behind its codes. */
function codes(lengthOfA: number, lengthOfEnd: number, distances: readonly number[]): DeflateWriter {
  const writer = deflate().dynamic({ literals: 257, distances: distances.length }, lengths);
  run(writer, 97).code(lengthOfA, 2);
  run(run(writer, 138), 20).code(lengthOfEnd, 2);
  for (const each of distances) writer.code(each, 2);
  return writer;
}

const codeCases = [
  fine("a code of one literal and the end", codes(ONE, ONE, [NO]).code(0, 1).code(0, 1).code(1, 1), "aa"),
  fine("a code of the end alone", codes(NO, ONE, [NO]).code(0, 1), none),
  bad(
    "a code of one bit that is not complete, and its other half",
    codes(NO, ONE, [NO]).code(1, 1).raw(Buffer.alloc(8)),
  ),
  bad("no code for the end", codes(ONE, NO, [NO])),
  bad("a code of literals with a gap", codes(ONE, TWO, [NO])),
  bad("a code of distances with too many", codes(ONE, ONE, [ONE, ONE, ONE])),
  bad("a code of distances with a gap", codes(ONE, ONE, [ONE, TWO])),
  fine("a code of one distance", codes(ONE, ONE, [ONE]).code(0, 1).code(1, 1), "a"),
  bad("287 codes of literals", deflate().dynamic({ literals: 287, distances: 1 }, lengths)),
  bad("288 codes of literals", deflate().dynamic({ literals: 288, distances: 1 }, lengths)),
  bad("31 codes of distances", deflate().dynamic({ literals: 257, distances: 31 }, lengths)),
  bad("32 codes of distances", deflate().dynamic({ literals: 257, distances: 32 }, lengths)),
  bad(
    "a code of lengths that is empty",
    deflate().dynamic({ literals: 257, distances: 1 }, {}).raw(Buffer.alloc(64)),
  ),
  bad("a code of lengths with a gap", deflate().dynamic({ literals: 257, distances: 1 }, { 0: 1, 1: 2 })),
  bad(
    "a code of lengths with too many",
    deflate().dynamic({ literals: 257, distances: 1 }, { 0: 1, 1: 1, 2: 1 }),
  ),
  bad(
    "a repetition of nothing",
    deflate().dynamic({ literals: 257, distances: 1 }, { 0: 1, 16: 1 }).code(1, 1).bits(0, 2),
  ),
  bad(
    "a run that goes on behind the last code",
    run(run(run(deflate().dynamic({ literals: 257, distances: 1 }, lengths), 138), 100), 138),
  ),
  cut("codes that are cut", deflate().dynamic({ literals: 257, distances: 1 }, lengths).code(ONE, 2)),
];

export const deflateCases: readonly StreamCase[] = [
  ...storedCases,
  ...blockCases,
  ...distanceCases,
  ...codeCases,
];
