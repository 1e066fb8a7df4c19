import { gzipSync } from "node:zlib";
import { type Digest, sha256 } from "../../src/bytes/index.js";
import type { ErrorCode } from "../../src/errors/index.js";
import { openExternalToc, openToc } from "../../src/estargz/index.js";
import {
  type BuiltLayer,
  buildEstargz,
  type FooterKind,
  footerBytes,
  tocMember,
  withFooter,
} from "../../testing/estargz-builder.js";
import { padding, tarHeader } from "../../testing/estargz-tar.js";
import type { HostileCase } from "./estargz-case.js";

const layer = buildEstargz([{ name: "a", type: "reg", content: "hello" }]);
const { blob, payloadEnd, tocDigest } = layer;
const payload = blob.subarray(0, payloadEnd);

function open(bytes: Buffer, digest: Digest = tocDigest): Promise<unknown> {
  return openToc({
    blobSize: bytes.length,
    read: async ({ offset, length }) => bytes.subarray(offset, offset + length),
    tocDigest: digest,
  });
}

type Row = readonly [name: string, make: () => Buffer, code: ErrorCode, reason: string];

const malformed = ["INVALID_ARGUMENT", "footer-malformed"] as const;
const offsetMalformed = ["INVALID_ARGUMENT", "footer-offset-malformed"] as const;
const outOfRange = ["INVALID_ARGUMENT", "footer-offset-out-of-range"] as const;
const notEstargz = ["FAILED_PRECONDITION", "not-estargz"] as const;
const tocGzip = ["INVALID_ARGUMENT", "toc-gzip-malformed"] as const;
const tocTar = ["INVALID_ARGUMENT", "toc-tar-malformed"] as const;

/** The valid layer with one byte of its footer changed. */
function flipped(at: number, kind: FooterKind = "estargz"): Buffer {
  const footer = footerBytes(kind, payloadEnd);
  footer[at]! ^= 0xff;
  return withFooter(layer, footer);
}

function withOffset(offset: number | bigint | string, kind: FooterKind = "estargz"): Buffer {
  return withFooter(layer, footerBytes(kind, offset));
}

/** The payload with another member where the TOC should be. */
function withMember(member: Buffer): Buffer {
  return Buffer.concat([payload, member, footerBytes("estargz", payloadEnd)]);
}

function tarOf(name: string, content: Buffer): Buffer {
  return Buffer.concat([tarHeader({ name, type: "reg", content }), content, padding(content.length)]);
}

function zstdFooter(fields: readonly bigint[], magic: string): Buffer {
  const numbers = fields.map((field) => {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64LE(field);
    return bytes;
  });
  return Buffer.concat([Buffer.from("502a4d1828000000", "hex"), ...numbers, Buffer.from(magic, "hex")]);
}

const size = BigInt(blob.length);

const offsets: readonly Row[] = [
  ["offset = end of the TOC", () => withOffset(size - 51n), ...outOfRange],
  ["offset = blob size", () => withOffset(size), ...outOfRange],
  ["offset > blob size", () => withOffset(size + 1n), ...outOfRange],
  ["offset inside the footer", () => withOffset(size - 20n), ...outOfRange],
  ["offset 2^31", () => withOffset(2n ** 31n), ...outOfRange],
  ["offset 2^53", () => withOffset(2n ** 53n), ...outOfRange],
  ["offset 2^63 - 1", () => withOffset(2n ** 63n - 1n), ...outOfRange],
  ["offset 2^63, negative for a signed reader", () => withOffset(2n ** 63n), ...outOfRange],
  ["offset 2^64 - 1, -1 for a signed reader", () => withOffset(2n ** 64n - 1n), ...outOfRange],
  ["offset wraps to a valid one when the footer is added", () => withOffset(2n ** 64n - 51n), ...outOfRange],
  ["offset with a minus sign", () => withOffset("-000000000000001"), ...offsetMalformed],
  ["offset with a plus sign", () => withOffset("+000000000000001"), ...offsetMalformed],
  ["offset with 0x", () => withOffset("0x00000000000010"), ...offsetMalformed],
  ["offset with an underscore", () => withOffset("0000000000_00010"), ...offsetMalformed],
  ["offset in upper case", () => withOffset("00000000000000AB"), ...offsetMalformed],
  ["offset with spaces", () => withOffset("              10"), ...offsetMalformed],
  ["offset with NULs", () => withOffset("0".repeat(14).padStart(16, "\0")), ...offsetMalformed],
  ["offset with letters that are not hex", () => withOffset("000000000000zz10"), ...offsetMalformed],
  ["offset with bytes above 0x7f", () => withOffset(`${"0".repeat(15)}\xff`), ...offsetMalformed],
  ["legacy: offset = blob size", () => withOffset(size, "legacy"), ...outOfRange],
  ["legacy: offset 2^64 - 1", () => withOffset(2n ** 64n - 1n, "legacy"), ...outOfRange],
  ["legacy: offset not hex", () => withOffset("000000000000000g", "legacy"), ...offsetMalformed],
];

const shapes: readonly Row[] = [
  ["empty blob", () => Buffer.alloc(0), ...notEstargz],
  ["one byte", () => Buffer.alloc(1), ...notEstargz],
  ["45 bytes", () => footerBytes("external", 0).subarray(1), ...notEstargz],
  ["a footer without its first byte", () => footerBytes("estargz", 0).subarray(1), ...notEstargz],
  ["a footer and nothing else", () => footerBytes("estargz", 0), ...outOfRange],
  ["a legacy footer and nothing else", () => footerBytes("legacy", 0), ...outOfRange],
  ["plain gzip", () => gzipSync(Buffer.alloc(10_000)), ...notEstargz],
  ["zeros", () => Buffer.alloc(10_000), ...notEstargz],
  ["a byte behind the footer", () => Buffer.concat([blob, Buffer.alloc(1)]), ...notEstargz],
  ["cut by one byte", () => blob.subarray(0, -1), ...notEstargz],
  ["wrong gzip magic", () => flipped(0), ...notEstargz],
  ["method is not deflate", () => flipped(2), ...notEstargz],
  ["other gzip flags", () => flipped(3), ...notEstargz],
  ["with a time", () => flipped(5), ...notEstargz],
  ["wrong length of extra field", () => flipped(10), ...notEstargz],
  ["wrong subfield id", () => flipped(12), ...notEstargz],
  ["wrong length of subfield", () => flipped(14), ...notEstargz],
  ["magic STARGZ broken", () => flipped(35), ...malformed],
  ["stored block has a length", () => flipped(39), ...malformed],
  ["CRC is not zero", () => flipped(44), ...malformed],
  ["ISIZE is not zero", () => flipped(50), ...malformed],
  ["legacy: magic broken", () => flipped(30, "legacy"), ...malformed],
  ["external: magic broken", () => flipped(20, "external"), ...notEstargz],
  ["external: length of subfield wrong", () => flipped(14, "external"), ...notEstargz],
  [
    "external footer without an external TOC",
    () => withOffset(0, "external"),
    "FAILED_PRECONDITION",
    "toc-external",
  ],
];

const members: readonly Row[] = [
  ["offset 0 leads to the payload", () => withOffset(0), ...tocTar],
  ["offset inside the payload", () => withOffset(7), ...tocGzip],
  ["offset one byte early", () => withOffset(payloadEnd - 1), ...tocGzip],
  ["offset one byte late", () => withOffset(payloadEnd + 1), ...tocGzip],
  ["offset just before the footer", () => withOffset(size - 52n), ...tocGzip],
  ["TOC is not gzip", () => withMember(Buffer.alloc(2000, "x")), ...tocGzip],
  ["TOC's gzip is cut", () => withMember(tocMember(layer.tocJson).subarray(0, 100)), ...tocGzip],
  ["TOC's gzip is a header only", () => withMember(tocMember(layer.tocJson).subarray(0, 10)), ...tocGzip],
  ["TOC is empty", () => withMember(gzipSync(Buffer.alloc(0))), ...tocTar],
  ["TOC's tar is zeros", () => withMember(gzipSync(Buffer.alloc(2048))), ...tocTar],
  ["TOC's tar is shorter than a header", () => withMember(gzipSync(Buffer.alloc(511))), ...tocTar],
  ["TOC without tar", () => withMember(gzipSync(layer.tocJson)), ...tocTar],
  ["TOC under another name", () => withMember(gzipSync(tarOf("index.json", layer.tocJson))), ...tocTar],
  ["TOC in a folder", () => withMember(gzipSync(tarOf("x/stargz.index.json", layer.tocJson))), ...tocTar],
  [
    "TOC as a symbolic link",
    () => withMember(gzipSync(tarHeader({ name: "stargz.index.json", type: "symlink" }))),
    ...tocTar,
  ],
  [
    "TOC's tar is cut",
    () => withMember(gzipSync(tarOf("stargz.index.json", layer.tocJson).subarray(0, 600))),
    ...tocTar,
  ],
  [
    "TOC's tar has a second entry",
    () =>
      withMember(
        gzipSync(Buffer.concat([tarOf("stargz.index.json", layer.tocJson), tarOf("evil", Buffer.from("x"))])),
      ),
    ...tocTar,
  ],
  [
    "TOC's tar has a wrong checksum",
    () => withMember(gzipSync(withByte(tarOf("stargz.index.json", layer.tocJson), 101, 0x37))),
    ...tocTar,
  ],
  [
    "TOC's size is base-256",
    () => withMember(gzipSync(withSize(Buffer.from("8000000000000000ffffffff", "hex")))),
    ...tocTar,
  ],
  ["TOC's size is negative", () => withMember(gzipSync(withSize(Buffer.from("-0000000001\0")))), ...tocTar],
  ["TOC's size is 8 GiB", () => withMember(gzipSync(withSize(Buffer.from("77777777777\0")))), ...tocTar],
  ["TOC's size has no digits", () => withMember(gzipSync(withSize(Buffer.alloc(12)))), ...tocTar],
  ["TOC of other bytes", () => withMember(tocMember(Buffer.from("{}"))), "DATA_LOSS", "toc-digest-mismatch"],
  [
    "TOC with a space more",
    () => withMember(tocMember(Buffer.concat([layer.tocJson, Buffer.from(" ")]))),
    "DATA_LOSS",
    "toc-digest-mismatch",
  ],
  [
    "TOC is a bomb of 300 MB",
    () => withMember(gzipSync(Buffer.alloc(300_000_000), { level: 1 })),
    "RESOURCE_EXHAUSTED",
    "toc-too-large",
  ],
  [
    "TOC is a bomb in a bomb's tar",
    () => withMember(tocMember(Buffer.alloc(20_000_000, " "))),
    "RESOURCE_EXHAUSTED",
    "toc-too-large",
  ],
];

const zstdMagics = ["476e556c496e5578", "474e556c496e5578"] as const;
const zstdFields: Readonly<Record<string, readonly bigint[]>> = {
  "an offset below 8": [4n, 100n, 200n, 1n],
  "compressed length 0": [8n, 0n, 200n, 1n],
  "compressed length 2^63": [8n, 2n ** 63n, 200n, 1n],
  "another type": [8n, 100n, 200n, 2n],
};

const zstd: readonly Row[] = Object.entries(zstdFields).flatMap(([name, fields]) =>
  zstdMagics.map((magic, index): Row => {
    const make = (): Buffer => Buffer.concat([payload, zstdFooter(fields, magic)]);
    return [`zstd:chunked (dialect ${index}) with ${name}`, make, "UNIMPLEMENTED", "zstd-chunked"];
  }),
);

function withByte(bytes: Buffer, at: number, value: number): Buffer {
  bytes[at] = value;
  return bytes;
}

/** The TOC's tar with another size field and a checksum that fits it. */
function withSize(field: Buffer): Buffer {
  const tar = tarOf("stargz.index.json", layer.tocJson);
  field.copy(tar, 124);
  tar.fill(0x20, 148, 156);
  const sum = tar.subarray(0, 512).reduce((total, byte) => total + byte, 0);
  tar.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return tar;
}

const external: BuiltLayer = buildEstargz([], { footer: "external" });

const externalCases: readonly HostileCase[] = [
  [
    "external TOC of another layer",
    tocMember(Buffer.from("{}")),
    "DATA_LOSS",
    "toc-digest-mismatch",
  ] as const,
  ["external TOC is empty", Buffer.alloc(0), ...tocGzip] as const,
  ["external TOC is no gzip", Buffer.from("<html>"), ...tocGzip] as const,
].map(([name, tocBlob, code, reason]) => ({
  name,
  code,
  reason,
  run: () => openExternalToc({ tocBlob, blobSize: external.blob.length, tocDigest: external.tocDigest }),
}));

export const footerCases: readonly HostileCase[] = [
  ...[...offsets, ...shapes, ...members, ...zstd].map(([name, make, code, reason]) => ({
    name,
    code,
    reason,
    run: () => open(make()),
  })),
  ...externalCases,
  {
    name: "right footer, the annotation names another TOC",
    code: "DATA_LOSS",
    reason: "toc-digest-mismatch",
    run: () => open(blob, sha256(Buffer.from("another"))),
  },
];
