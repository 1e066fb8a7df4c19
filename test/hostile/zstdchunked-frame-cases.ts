import { sha256 } from "../../src/bytes/index.js";
import type { ErrorCode } from "../../src/errors/index.js";
import { openZstdChunked } from "../../src/zstdchunked/index.js";
import {
  type BuiltDialect,
  type BuiltZstdLayer,
  buildZstdChunked,
  magics,
  skippable,
  unzstd,
  withTail,
  zstd,
  zstdFooter,
} from "../../testing/zstdchunked-builder.js";
import { readerOf } from "../../testing/zstdchunked-read.js";
import type { HostileCase } from "./estargz-case.js";

type Annotations = Readonly<Record<string, string>>;
type Input = { readonly blob: Buffer; readonly annotations: Annotations };
type Row = readonly [name: string, make: () => Promise<Input>, code: ErrorCode, reason: string];

const entries = [{ name: "a", type: "reg", content: "hello" }] as const;
const build = async (dialect: BuiltDialect): Promise<BuiltZstdLayer> =>
  await buildZstdChunked(entries, { dialect });

const CONTAINERS = "io.github.containers.zstd-chunked";
const STARGZ = "io.containers.zstd-chunked";
const TOC_DIGEST = "containerd.io/snapshot/stargz/toc.digest";

const footerMalformed = ["INVALID_ARGUMENT", "footer-malformed"] as const;
const outOfRange = ["INVALID_ARGUMENT", "footer-offset-out-of-range"] as const;
const chain = ["INVALID_ARGUMENT", "footer-chain"] as const;
const mismatch = ["INVALID_ARGUMENT", "footer-annotation-mismatch"] as const;
const annotation = ["INVALID_ARGUMENT", "annotation-malformed"] as const;
const manifestType = ["INVALID_ARGUMENT", "manifest-type-unsupported"] as const;
const notZstdChunked = ["FAILED_PRECONDITION", "not-zstd-chunked"] as const;
const digestMissing = ["FAILED_PRECONDITION", "toc-digest-missing"] as const;
const digestInvalid = ["INVALID_ARGUMENT", "digest-invalid"] as const;
const tooLarge = ["RESOURCE_EXHAUSTED", "toc-too-large"] as const;
const frame = ["INVALID_ARGUMENT", "frame-malformed"] as const;
const tocZstd = ["INVALID_ARGUMENT", "toc-zstd-malformed"] as const;
const digestWrong = ["DATA_LOSS", "toc-digest-mismatch"] as const;

/** Only the digest of the TOC is known, so that the footer decides. */
function blind(layer: BuiltZstdLayer): Annotations {
  return { [TOC_DIGEST]: layer.tocDigest };
}

type Change = (numbers: bigint[], layer: BuiltZstdLayer) => void;

/** A footer whose numbers are changed; the rest of the blob is valid. */
const footer =
  (dialect: BuiltDialect, change: Change): Row[1] =>
  async () => {
    const layer = await build(dialect);
    const footerNumbers = [...layer.footerNumbers];
    change(footerNumbers, layer);
    return { blob: (await withTail({ ...layer, footerNumbers })).blob, annotations: blind(layer) };
  };
const number = (dialect: BuiltDialect, index: number, value: bigint): Row[1] =>
  footer(dialect, (numbers) => {
    numbers[index] = value;
  });
const shift = (dialect: BuiltDialect, index: number, by: bigint): Row[1] =>
  footer(dialect, (numbers) => {
    numbers[index]! += by;
  });

const numbers: readonly Row[] = [
  ["stargz: TOC offset 0", number("stargz", 0, 0n), ...outOfRange],
  ["stargz: TOC offset 7, its frame begins before the blob", number("stargz", 0, 7n), ...outOfRange],
  ["stargz: TOC offset 2^53", number("stargz", 0, 2n ** 53n), ...outOfRange],
  ["stargz: TOC offset 2^64 - 1, -1 for a signed reader", number("stargz", 0, 2n ** 64n - 1n), ...outOfRange],
  ["stargz: TOC offset one too high", shift("stargz", 0, 1n), ...outOfRange],
  ["stargz: TOC offset one too low", shift("stargz", 0, -1n), ...chain],
  ["stargz: compressed size 0", number("stargz", 1, 0n), ...outOfRange],
  ["stargz: compressed size 2^63", number("stargz", 1, 2n ** 63n), ...outOfRange],
  ["stargz: compressed size wraps", number("stargz", 1, 2n ** 64n - 8n), ...outOfRange],
  ["stargz: compressed size one too low", shift("stargz", 1, -1n), ...chain],
  ["stargz: size 0", number("stargz", 2, 0n), ...outOfRange],
  ["stargz: size 2^63", number("stargz", 2, 2n ** 63n), ...tooLarge],
  ["stargz: size 256 MiB and one", number("stargz", 2, 2n ** 28n + 1n), ...tooLarge],
  ["stargz: size 200 MiB of a frame of some bytes", number("stargz", 2, 200n * 2n ** 20n), ...tooLarge],
  ["stargz: size one too low", shift("stargz", 2, -1n), ...tocZstd],
  ["stargz: size one too high", shift("stargz", 2, 1n), ...tocZstd],
  ["stargz: manifest type 0", number("stargz", 3, 0n), ...manifestType],
  ["stargz: manifest type 2", number("stargz", 3, 2n), ...manifestType],
  ["stargz: manifest type 2^64 - 1", number("stargz", 3, 2n ** 64n - 1n), ...manifestType],
  ["containers: TOC offset 0", number("containers", 0, 0n), ...outOfRange],
  ["containers: TOC offset 2^64 - 1", number("containers", 0, 2n ** 64n - 1n), ...outOfRange],
  ["containers: compressed size one too high", shift("containers", 1, 1n), ...chain],
  ["containers: manifest type 3", number("containers", 3, 3n), ...manifestType],
  ["containers: tar-split offset 0", number("containers", 4, 0n), ...outOfRange],
  ["containers: tar-split offset 2^63", number("containers", 4, 2n ** 63n), ...outOfRange],
  ["containers: tar-split offset one too low", shift("containers", 4, -1n), ...chain],
  [
    "containers: tar-split over the TOC",
    footer("containers", (fields) => {
      fields[4] = fields[0]!;
    }),
    ...chain,
  ],
  ["containers: tar-split of 0 bytes", number("containers", 5, 0n), ...outOfRange],
  ["containers: tar-split of 2^63 bytes", number("containers", 5, 2n ** 63n), ...outOfRange],
  ["containers: tar-split one byte short", shift("containers", 5, -1n), ...chain],
  [
    "containers: tar-split decodes to 2^40 bytes",
    number("containers", 6, 2n ** 40n),
    "RESOURCE_EXHAUSTED",
    "tar-split-too-large",
  ],
  [
    "containers: tar-split is left out of the footer, so that it would be content",
    footer("containers", (fields) => {
      fields.fill(0n, 4);
    }),
    ...chain,
  ],
];

const shape =
  (make: (layer: BuiltZstdLayer) => Buffer | Promise<Buffer>, dialect: BuiltDialect = "stargz"): Row[1] =>
  async () => {
    const layer = await build(dialect);
    return { blob: await make(layer), annotations: blind(layer) };
  };

/** The blob with one byte changed, counted from its end. */
const flip = (fromEnd: number, dialect: BuiltDialect = "stargz"): Row[1] =>
  shape(({ blob }) => {
    const changed = Buffer.from(blob);
    changed[changed.length - fromEnd]! ^= 0xff;
    return changed;
  }, dialect);

const tail = ({ blob, payloadEnd }: BuiltZstdLayer): Buffer => blob.subarray(payloadEnd);

const shapes: readonly Row[] = [
  ["empty blob", shape(() => Buffer.alloc(0)), ...notZstdChunked],
  ["47 bytes", shape(({ blob }) => blob.subarray(-47)), ...notZstdChunked],
  ["71 bytes", shape(({ blob }) => blob.subarray(-71), "containers"), ...notZstdChunked],
  ["a footer and nothing else", shape(({ blob }) => blob.subarray(-48)), ...outOfRange],
  ["a long footer and nothing else", shape(({ blob }) => blob.subarray(-72), "containers"), ...outOfRange],
  ["zeros", shape(() => Buffer.alloc(10_000)), ...notZstdChunked],
  ["plain zstd", shape(() => zstd(Buffer.alloc(100_000, "x"))), ...notZstdChunked],
  [
    "a byte behind the footer",
    shape(({ blob }) => Buffer.concat([blob, Buffer.alloc(1)])),
    ...notZstdChunked,
  ],
  ["cut by one byte", shape(({ blob }) => blob.subarray(0, -1)), ...notZstdChunked],
  ["cut before its payload", shape(tail), ...outOfRange],
  ["magic broken", flip(1), ...notZstdChunked],
  ["footer in no skippable frame", flip(48), ...footerMalformed],
  ["footer frame has another length", flip(44), ...footerMalformed],
  ["long footer in no skippable frame", flip(72, "containers"), ...footerMalformed],
  [
    "short footer with the magic of the long one",
    shape(({ blob, footerNumbers }) =>
      Buffer.concat([blob.subarray(0, -48), zstdFooter(footerNumbers, magics.containers)]),
    ),
    ...footerMalformed,
  ],
  [
    "long footer with the magic of the short one",
    shape(
      ({ blob, footerNumbers }) =>
        Buffer.concat([blob.subarray(0, -72), zstdFooter(footerNumbers, magics.stargz)]),
      "containers",
    ),
    ...footerMalformed,
  ],
  [
    "a frame with content between TOC and footer",
    shape(async ({ blob }) => {
      const hidden = await zstd(Buffer.from("hidden"));
      return Buffer.concat([blob.subarray(0, -48), hidden, blob.subarray(-48)]);
    }),
    ...chain,
  ],
  [
    "the TOC in a frame that is not skipped",
    shape(({ blob, payloadEnd }) => {
      const changed = Buffer.from(blob);
      changed[payloadEnd] = 0x28;
      return changed;
    }),
    ...frame,
  ],
  [
    "the TOC's frame says another length",
    shape(({ blob, payloadEnd }) => {
      const changed = Buffer.from(blob);
      changed[payloadEnd + 4]! += 1;
      return changed;
    }),
    ...frame,
  ],
  [
    "the tar-split in a frame that is not skipped",
    shape(({ blob, footerNumbers }) => {
      const changed = Buffer.from(blob);
      changed[Number(footerNumbers[4]) - 8] = 0x28;
      return changed;
    }, "containers"),
    ...frame,
  ],
];

/** A valid layer whose TOC frame is another one. */
const tocFrame =
  (make: (layer: BuiltZstdLayer) => Buffer | Promise<Buffer>, isSigned = false): Row[1] =>
  async () => {
    const layer = await build("stargz");
    const { footerNumbers: _, ...rest } = layer;
    const changed = await withTail({ ...rest, tocFrame: await make(layer) });
    return { blob: changed.blob, annotations: isSigned ? changed.annotations : blind(layer) };
  };

/** Header that claims 2^62 bytes of content, a window of 2^17, and one empty block. */
const LYING_FRAME = Buffer.from("28b52ffdc0380000000000000040010000", "hex");

const frames: readonly Row[] = [
  ["TOC frame cut", tocFrame(({ tocFrame }) => tocFrame.subarray(0, -1)), ...tocZstd],
  ["TOC frame is text", tocFrame(({ tocJson }) => tocJson), ...tocZstd],
  ["TOC frame is gzip", tocFrame(() => Buffer.from("1f8b0800000000000003030000000000", "hex")), ...tocZstd],
  ["TOC frame is a skippable one", tocFrame(() => skippable(Buffer.alloc(100))), ...tocZstd],
  [
    "TOC in two frames",
    tocFrame(async ({ tocJson }) =>
      Buffer.concat([await zstd(tocJson.subarray(0, 10)), await zstd(tocJson.subarray(10))]),
    ),
    ...tocZstd,
  ],
  [
    "a byte behind the TOC",
    tocFrame(({ tocFrame }) => Buffer.concat([tocFrame, Buffer.alloc(1)])),
    ...tocZstd,
  ],
  ["TOC frame claims 2^62 bytes", tocFrame(() => LYING_FRAME), ...tocZstd],
  ["TOC frame wants a dictionary", tocFrame(() => Buffer.from("28b52ffd21ff00010000", "hex")), ...tocZstd],
  ["TOC frame has block type 3", tocFrame(() => Buffer.from("28b52ffd20000700000000", "hex")), ...tocZstd],
  ["TOC frame has a window of 2^41", tocFrame(() => Buffer.from("28b52ffd00f8010000", "hex")), ...tocZstd],
  ["TOC frame of zstd 0.7", tocFrame(() => Buffer.from("27b52ffd20000000000000", "hex")), ...tocZstd],
  ["a bomb of 200 MB for a TOC", tocFrame(() => zstd(Buffer.alloc(200_000_000)), true), ...tocZstd],
  [
    "TOC frame's checksum is wrong",
    tocFrame(({ tocFrame }) => {
      const changed = Buffer.from(tocFrame);
      changed[changed.length - 1]! ^= 1;
      return changed;
    }),
    ...tocZstd,
  ],
  [
    "another TOC",
    tocFrame(({ tocJson }) => zstd(Buffer.from(tocJson.toString().replace('"a"', '"b"'))), true),
    ...digestWrong,
  ],
];

const withAnnotations =
  (dialect: BuiltDialect, change: (layer: BuiltZstdLayer) => Annotations): Row[1] =>
  async () => {
    const layer = await build(dialect);
    return { blob: layer.blob, annotations: { ...layer.annotations, ...change(layer) } };
  };
const position = (text: string): Row[1] =>
  withAnnotations("containers", () => ({ [`${CONTAINERS}.manifest-position`]: text }));
const other = sha256(Buffer.from("other"));

const annotations: readonly Row[] = [
  ["no annotation", async () => ({ blob: (await build("stargz")).blob, annotations: {} }), ...digestMissing],
  [
    "position and no checksum",
    async () => {
      const { blob, annotations: all } = await build("containers");
      const key = `${CONTAINERS}.manifest-position`;
      return { blob, annotations: { [key]: all[key]! } };
    },
    ...digestMissing,
  ],
  [
    "checksum in the prototype",
    async () => {
      const { blob, annotations: all } = await build("containers");
      return { blob, annotations: Object.create(all) };
    },
    ...digestMissing,
  ],
  ["position empty", position(""), ...annotation],
  ["position of one number", position("5"), ...annotation],
  ["position of three numbers", position("1:2:3"), ...annotation],
  ["position of five numbers", position("1:2:3:1:1"), ...annotation],
  ["position negative", position("-1:2:3:1"), ...annotation],
  ["position with a plus sign", position("+1:2:3:1"), ...annotation],
  ["position with spaces", position(" 1:2:3:1"), ...annotation],
  ["position in hex", position("0x1:2:3:1"), ...annotation],
  ["position 2^53", position("9007199254740992:2:3:1"), ...annotation],
  ["position 10^400", position(`1${"0".repeat(400)}:2:3:1`), ...annotation],
  ["position of type 2", position("1:2:3:2"), ...manifestType],
  ["position 0", position("0:2:3:1"), ...mismatch],
  ["position behind the blob", position("999999:2:3:1"), ...mismatch],
  [
    "position disagrees with the footer",
    withAnnotations("containers", ({ footerNumbers: [offset, length, size] }) => ({
      [`${CONTAINERS}.manifest-position`]: `${offset}:${length! - 1n}:${size}:1`,
    })),
    ...mismatch,
  ],
  [
    "position disagrees about the size",
    withAnnotations("stargz", ({ footerNumbers: [offset, length, size] }) => ({
      [`${STARGZ}.manifest-position`]: `${offset}:${length}:${size! + 1n}:1`,
    })),
    ...mismatch,
  ],
  [
    "tar-split's position disagrees with the footer",
    withAnnotations("containers", () => ({ [`${CONTAINERS}.tarsplit-position`]: "9:9:9" })),
    ...mismatch,
  ],
  [
    "tar-split's position and no tar-split",
    withAnnotations("stargz", () => ({ [`${CONTAINERS}.tarsplit-position`]: "9:9:9" })),
    ...mismatch,
  ],
  [
    "tar-split's position of four numbers",
    withAnnotations("containers", () => ({ [`${CONTAINERS}.tarsplit-position`]: "9:9:9:1" })),
    ...annotation,
  ],
  [
    "two checksums that disagree",
    withAnnotations("containers", () => ({ [`${STARGZ}.manifest-checksum`]: other })),
    "INVALID_ARGUMENT",
    "annotation-conflict",
  ],
  [
    "two positions that disagree",
    withAnnotations("containers", () => ({ [`${STARGZ}.manifest-position`]: "9:9:9:1" })),
    "INVALID_ARGUMENT",
    "annotation-conflict",
  ],
  [
    "checksum of another TOC",
    withAnnotations("containers", () => ({ [`${CONTAINERS}.manifest-checksum`]: other })),
    ...digestWrong,
  ],
  ["digest of another TOC", withAnnotations("stargz", () => ({ [TOC_DIGEST]: other })), ...digestWrong],
  [
    "checksum right and digest of the TOC wrong",
    withAnnotations("containers", () => ({ [TOC_DIGEST]: other })),
    ...digestWrong,
  ],
  [
    "digest of the TOC right and checksum wrong",
    withAnnotations("stargz", () => ({ [`${STARGZ}.manifest-checksum`]: other })),
    ...digestWrong,
  ],
  [
    "checksum in upper case",
    withAnnotations("containers", () => ({
      [`${CONTAINERS}.manifest-checksum`]: `sha256:${"A".repeat(64)}`,
    })),
    ...digestInvalid,
  ],
  [
    "checksum empty",
    withAnnotations("containers", () => ({ [`${CONTAINERS}.manifest-checksum`]: "" })),
    ...digestInvalid,
  ],
  [
    "checksum of sha512",
    withAnnotations("containers", () => ({
      [`${CONTAINERS}.manifest-checksum`]: `sha512:${"0".repeat(128)}`,
    })),
    "FAILED_PRECONDITION",
    "toc-digest-unsupported",
  ],
];

export const zstdFrameCases: readonly HostileCase[] = [...numbers, ...shapes, ...frames, ...annotations].map(
  ([name, make, code, reason]) => ({
    name,
    code,
    reason,
    run: async () => {
      const input = await make();
      const { read } = readerOf(input.blob);
      await openZstdChunked({ ...input, blobSize: input.blob.length, read, decompress: unzstd });
    },
  }),
);
