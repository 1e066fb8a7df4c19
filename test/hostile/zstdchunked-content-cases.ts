import { sha256 } from "../../src/bytes/index.js";
import type { ErrorCode } from "../../src/errors/index.js";
import { compileZstdChunked, parseTarSplit, readTarSplit } from "../../src/zstdchunked/index.js";
import { changedToc, type TocEntryJson } from "../../testing/estargz-builder.js";
import { type BuiltZstdLayer, buildZstdChunked, unzstd, zstd } from "../../testing/zstdchunked-builder.js";
import { openBlob, readerOf } from "../../testing/zstdchunked-read.js";
import type { HostileCase } from "./estargz-case.js";

const content = Buffer.concat([Buffer.from("abcd"), Buffer.alloc(8), Buffer.from("efgh")]);
const build = async (): Promise<BuiltZstdLayer> =>
  await buildZstdChunked(
    [
      { name: "a", type: "reg", content },
      { name: "b", type: "reg", content: "one" },
    ],
    { dialect: "containers", chunkSize: 4 },
  );

/** Places of the entries in the layer's TOC: four chunks of a, the middle ones zeros. */
const at = { a: 0, zeros: 1, zeros2: 2, a4: 3, b: 4 } as const;

type TocRow = readonly [name: string, change: (entries: TocEntryJson[]) => void, reason: string];

const set =
  (index: number, fields: object): TocRow[1] =>
  (entries) => {
    Object.assign(entries[index]!, fields);
  };

const tocRows: readonly TocRow[] = [
  ["chunk type unknown", set(at.zeros, { chunkType: "ones" }), "toc-chunk-type"],
  ["chunk type in upper case", set(at.zeros, { chunkType: "ZEROS" }), "toc-chunk-type"],
  ["chunk type toString", set(at.zeros, { chunkType: "toString" }), "toc-chunk-type"],
  ["chunk type as number", set(at.zeros, { chunkType: 0 }), "toc-entry-malformed"],
  ["chunk type as array", set(at.zeros, { chunkType: ["zeros"] }), "toc-entry-malformed"],
  ["zeros longer than the file", set(at.zeros, { chunkSize: 13 }), "toc-chunk-partition"],
  ["zeros shorter, so that a gap is left", set(at.zeros, { chunkSize: 3 }), "toc-chunk-partition"],
  ["zeros of 2^53 bytes", set(at.zeros, { chunkSize: 2 ** 53 }), "toc-number"],
  ["zeros of a negative size", set(at.zeros, { chunkSize: -4 }), "toc-number"],
  ["zeros over the chunk before", set(at.zeros, { chunkOffset: 3 }), "toc-chunk-partition"],
  ["zeros behind the blob", set(at.zeros, { offset: 10 ** 9 }), "toc-chunk-offset"],
  ["zeros nowhere", set(at.zeros, { offset: 0 }), "toc-chunk-offset"],
  ["zeros before the file's start", set(at.zeros, { offset: 1 }), "toc-chunk-order"],
  ["zeros with a digest of nothing", set(at.zeros, { chunkDigest: "" }), "toc-chunk-digest"],
  [
    "zeros with a digest of sha512",
    set(at.zeros, { chunkDigest: `sha512:${"0".repeat(128)}` }),
    "toc-chunk-digest",
  ],
  ["zeros that no file has", (entries) => entries.splice(0, 1), "toc-chunk-orphan"],
  ["zeros in an empty file", set(at.a, { size: 0, digest: sha256(Buffer.alloc(0)) }), "toc-chunk-partition"],
  [
    "a file of zeros above 16 TiB",
    set(at.b, { size: 2 ** 44 + 1, chunkSize: 2 ** 44 + 1, chunkType: "zeros" }),
    "toc-number",
  ],
  [
    "files of zeros above 16 TiB together",
    (entries) => {
      for (const name of ["x", "y"])
        entries.push({
          ...entries[at.b],
          name,
          size: 2 ** 43 + 1,
          chunkSize: 2 ** 43 + 1,
          chunkType: "zeros",
        });
    },
    "toc-data-too-large",
  ],
  ["chunk of zeros in size but not in type", set(at.b, { size: 2 ** 30 }), "toc-unit-too-large"],
  ["end of the file before its chunks", set(at.a, { endOffset: 1 }), "toc-chunk-offset"],
  [
    "end of the file at its last chunk",
    (entries) => {
      entries[at.a]!.endOffset = entries[at.a4]!.offset;
    },
    "toc-chunk-offset",
  ],
  ["end of the file behind the payload", set(at.a, { endOffset: 10 ** 9 }), "toc-chunk-offset"],
  ["end of the file negative", set(at.a, { endOffset: -1 }), "toc-number"],
  ["end of the file 2^63", set(at.a, { endOffset: 2 ** 63 }), "toc-number"],
  ["end of the file as text", set(at.a, { endOffset: "100" }), "toc-number"],
  [
    "two files on one frame",
    (entries) => {
      entries[at.b]!.offset = entries[at.a4]!.offset;
    },
    "toc-chunk-order",
  ],
  [
    "a chunk inside the TOC",
    (entries) => {
      entries[at.b]!.offset = 10_000;
    },
    "toc-chunk-offset",
  ],
];

type SplitRow = readonly [
  name: string,
  run: (layer: BuiltZstdLayer) => unknown,
  code: ErrorCode,
  reason: string,
];

const malformed = ["INVALID_ARGUMENT", "tar-split-malformed"] as const;
const invalidJson = ["INVALID_ARGUMENT", "json-invalid"] as const;

const parse =
  (text: string | Buffer): SplitRow[1] =>
  () => [...parseTarSplit(Buffer.from(text as string))];
const line = (fields: object): SplitRow[1] => parse(`${JSON.stringify({ position: 0, ...fields })}\n`);

/** Reads the tar-split of the layer with another frame, or with other digests. */
const read =
  (change: {
    frame?: (layer: BuiltZstdLayer) => Promise<Buffer>;
    toc?: object;
    checksum?: string;
    size?: number;
  }): SplitRow[1] =>
  async (layer) => {
    const opened = await openBlob(layer.blob, layer.annotations);
    const frame = (await change.frame?.(layer)) ?? layer.tarSplitFrame;
    const place = {
      offset: 0,
      compressedSize: frame.length,
      size: change.size ?? layer.tarSplitLines.length,
    };
    const toc = Buffer.from(
      JSON.stringify({ version: 1, entries: [], ...(change.toc ?? { tarSplitDigest: sha256(frame) }) }),
    );
    const checksum = (change.checksum ?? opened.tarSplit!.checksum) as never;
    const { read } = readerOf(frame);
    await readTarSplit({ tarSplit: { ...place, checksum }, toc, read, decompress: unzstd });
  };

const crc = Buffer.alloc(8).toString("base64");
const other = sha256(Buffer.from("other"));

const splitRows: readonly SplitRow[] = [
  ["tar-split: no line", parse("\n"), ...invalidJson],
  ["tar-split: line cut", parse('{"type":2,"payload":"AA==","posi'), ...invalidJson],
  ["tar-split: not UTF-8", parse(Buffer.from([0x22, 0xff, 0x22, 0x0a])), ...invalidJson],
  ["tar-split: null", parse("null\n"), ...malformed],
  ["tar-split: an array", parse("[]\n"), ...malformed],
  ["tar-split: type missing", line({ payload: null }), ...malformed],
  ["tar-split: type 3", line({ type: 3, payload: null }), ...malformed],
  ["tar-split: type as text", line({ type: "2", payload: "" }), ...malformed],
  ["tar-split: position missing", parse('{"type":2,"payload":""}\n'), ...malformed],
  ["tar-split: position 1 first", line({ type: 2, payload: "", position: 1 }), ...malformed],
  ["tar-split: position twice", parse('{"type":2,"position":0}\n{"type":2,"position":0}\n'), ...malformed],
  ["tar-split: payload no base64", line({ type: 2, payload: "!!!!" }), ...malformed],
  ["tar-split: payload base64 with junk", line({ type: 2, payload: "AAAA AAAA" }), ...malformed],
  ["tar-split: payload as number", line({ type: 2, payload: 5 }), ...malformed],
  ["tar-split: no name", line({ type: 1, size: 5, payload: crc }), ...malformed],
  ["tar-split: name as object", line({ type: 1, name: {}, size: 5, payload: crc }), ...malformed],
  ["tar-split: name_raw no base64", line({ type: 1, name_raw: "?", size: 5, payload: crc }), ...malformed],
  ["tar-split: size negative", line({ type: 1, name: "a", size: -1, payload: crc }), ...malformed],
  ["tar-split: size 1.5", line({ type: 1, name: "a", size: 1.5, payload: crc }), ...malformed],
  ["tar-split: size 2^53", line({ type: 1, name: "a", size: 2 ** 53, payload: crc }), ...malformed],
  ["tar-split: size as text", line({ type: 1, name: "a", size: "5", payload: crc }), ...malformed],
  [
    "tar-split: content without a checksum",
    line({ type: 1, name: "a", size: 5, payload: null }),
    ...malformed,
  ],
  [
    "tar-split: checksum of 4 bytes",
    line({ type: 1, name: "a", size: 5, payload: "AAAAAA==" }),
    ...malformed,
  ],
  [
    "tar-split: a key twice",
    parse('{"type":2,"type":1,"position":0}\n'),
    "INVALID_ARGUMENT",
    "json-duplicate-key",
  ],
  [
    "tar-split: a line of 9 MiB",
    line({ type: 2, payload: "A".repeat(9 * 1024 * 1024) }),
    "RESOURCE_EXHAUSTED",
    "json-too-large",
  ],
  ["tar-split: 1000 brackets", parse(`${"[".repeat(1000)}\n`), "RESOURCE_EXHAUSTED", "json-too-deep"],
  ["tar-split: no digest", read({ toc: {} }), "FAILED_PRECONDITION", "tar-split-digest-missing"],
  [
    "tar-split: digest of another",
    read({ toc: { tarSplitDigest: other } }),
    "DATA_LOSS",
    "tar-split-digest-mismatch",
  ],
  ["tar-split: checksum of another", read({ checksum: other }), "DATA_LOSS", "tar-split-digest-mismatch"],
  ["tar-split: digest as number", read({ toc: { tarSplitDigest: 5 } }), "INVALID_ARGUMENT", "digest-invalid"],
  ["tar-split: digest empty", read({ toc: { tarSplitDigest: "" } }), "INVALID_ARGUMENT", "digest-invalid"],
  [
    "tar-split: frame is text",
    read({ frame: async ({ tarSplitLines }) => tarSplitLines }),
    "INVALID_ARGUMENT",
    "tar-split-zstd-malformed",
  ],
  ["tar-split: size one too low", read({ size: 10 }), "INVALID_ARGUMENT", "tar-split-zstd-malformed"],
  [
    "tar-split: a bomb",
    read({ frame: async () => await zstd(Buffer.alloc(100_000_000)) }),
    "INVALID_ARGUMENT",
    "tar-split-zstd-malformed",
  ],
  [
    "tar-split: some bytes for 200 MiB",
    read({ size: 200 * 2 ** 20 }),
    "RESOURCE_EXHAUSTED",
    "tar-split-too-large",
  ],
];

const limits = ["toc-unit-too-large", "toc-data-too-large"];

export const zstdContentCases: readonly HostileCase[] = [
  ...tocRows.map(([name, change, reason]) => ({
    name,
    code: limits.includes(reason) ? ("RESOURCE_EXHAUSTED" as const) : ("INVALID_ARGUMENT" as const),
    reason,
    run: async () => {
      const { toc, tocJson, blob, payloadEnd } = await build();
      const changed = changedToc({ toc, tocJson } as never, (document) => {
        change(document.entries);
      });
      compileZstdChunked({
        toc: changed,
        dialect: "containers",
        blobSize: blob.length,
        payloadEnd,
        blockSize: 4096,
      });
    },
  })),
  ...splitRows.map(([name, run, code, reason]) => ({
    name,
    code,
    reason,
    run: async () => await run(await build()),
  })),
];
