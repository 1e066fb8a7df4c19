import { parseDigest } from "../../src/bytes/index.js";
import type { ErrorCode } from "../../src/errors/index.js";
import {
  buildFineManifest,
  compileFine,
  FINE_ARTIFACT_TYPE,
  FINE_LAYER_ANNOTATION,
  fineMediaTypes,
  parseFineManifest,
  unpackWindow,
} from "../../src/fine/index.js";
import { loadBinding } from "../../src/fuse/index.js";
import type { HostileCase } from "./estargz-case.js";
import { compileChanged, type FineSample, gzipped, plain, spanAt } from "./fine-case.js";

type Verdict = readonly [code: ErrorCode, reason: string];
type Row = readonly [name: string, run: () => unknown, code: ErrorCode, reason: string];

const malformed: Verdict = ["INVALID_ARGUMENT", "fine-table-malformed"];
const order: Verdict = ["INVALID_ARGUMENT", "fine-order"];
const range: Verdict = ["INVALID_ARGUMENT", "fine-range"];
const count: Verdict = ["INVALID_ARGUMENT", "fine-count"];
const windowed: Verdict = ["INVALID_ARGUMENT", "fine-window"];
const other: Verdict = ["INVALID_ARGUMENT", "fine-other-layer"];
const leafSize: Verdict = ["INVALID_ARGUMENT", "fine-leaf-size"];

const spans = gzipped.parsed.spans.length;
const places = gzipped.parsed.spans;

const changed = (change: (table: Buffer) => unknown, sample?: FineSample) => () =>
  compileChanged(change, sample);
const number32 = (at: number, value: number, sample?: FineSample) =>
  changed((table) => table.writeUInt32LE(value, at), sample);
const number64 = (at: number, value: bigint | number, sample?: FineSample) =>
  changed((table) => table.writeBigUInt64LE(BigInt(value), at), sample);
const byte = (at: number, value: number, sample?: FineSample) =>
  changed((table) => table.writeUInt8(value, at), sample);
const span64 = (index: number, field: number, value: bigint | number) =>
  number64(spanAt(index) + field, value);

const headerRows: readonly Row[] = [
  ["no bytes", changed(() => Buffer.alloc(0)), ...malformed],
  ["seven bytes of its name", changed((table) => table.subarray(0, 7)), ...malformed],
  ["half a header", changed((table) => table.subarray(0, 64)), ...malformed],
  ["the header only", changed((table) => table.subarray(0, 128)), ...malformed],
  ["another name", byte(0, 0x4c), ...malformed],
  ["version 0", number32(8, 0), "INVALID_ARGUMENT", "fine-table-version"],
  ["version 2", number32(8, 2), "INVALID_ARGUMENT", "fine-table-version"],
  ["an unknown codec", byte(12, 3), "INVALID_ARGUMENT", "fine-codec"],
  ["the last codec of all", byte(12, 255), "INVALID_ARGUMENT", "fine-codec"],
  ["bytes behind the codec", byte(13, 1), ...malformed],
  ["bytes before the windows", byte(52, 1), ...malformed],
  ["a blob of one byte more", number64(16, gzipped.blob.length + 1), ...other],
  ["a blob that JavaScript can't count", number64(16, 1n << 53n), ...range],
  ["another layer", byte(64, gzipped.table[64]! ^ 1), ...other],
  ["an archive of all bytes there are", number64(24, 2n ** 64n - 1n), ...range],
  ["an archive of 2^53 - 1 bytes", number64(24, 2n ** 53n - 1n), "RESOURCE_EXHAUSTED", "fine-data-too-large"],
  ["an empty archive", number64(24, 0), ...range],
  ["leaves of no bytes", number32(32, 0), ...leafSize],
  ["leaves of 2 KiB", number32(32, 2048), ...leafSize],
  ["leaves of 2 MiB", number32(32, 2 << 20), ...leafSize],
  ["leaves of 5,000 bytes", number32(32, 5000), ...leafSize],
  ["leaves of another size", number32(32, 8192), ...count],
  ["no spans", number32(36, 0), ...count],
  ["one span less", number32(36, spans - 1), ...malformed],
  ["all spans that 32 bits count", number32(36, 0xffff_ffff), "RESOURCE_EXHAUSTED", "fine-too-many-spans"],
  ["one leaf more", number32(40, gzipped.parsed.leaves.length / 32 + 1), ...malformed],
  ["all leaves that 32 bits count", number32(40, 0xffff_ffff), "RESOURCE_EXHAUSTED", "fine-too-many-leaves"],
  ["a longer packed tree", number32(44, gzipped.parsed.packedTree.length + 1), ...malformed],
  ["a packed tree of 4 GiB", number32(44, 0xffff_ffff), ...malformed],
  ["a tree of 4 GiB", number32(48, 0xffff_ffff), "RESOURCE_EXHAUSTED", "fine-tree-too-large"],
  ["a tree of another size", number32(48, gzipped.headers.length + 1), "INVALID_ARGUMENT", "fine-tree"],
  ["one byte behind the tree", changed((table) => Buffer.concat([table, Buffer.alloc(1)])), ...malformed],
  ["one byte less of the tree", changed((table) => table.subarray(0, -1)), ...malformed],
  [
    "a leaf taken for the tree",
    changed((table) => {
      table.writeUInt32LE(gzipped.parsed.leaves.length / 32 - 1, 40);
      table.writeUInt32LE(gzipped.parsed.packedTree.length + 32, 44);
    }),
    ...count,
  ],
];

const spanRows: readonly Row[] = [
  ["a first span behind the archive's start", span64(0, 0, 1), ...order],
  ["a first span in the gzip header", span64(0, 8, 9), ...order],
  ["a first span that begins inside a byte", byte(spanAt(0) + 24, 3), ...order],
  [
    "a first span with a window",
    changed((table) => {
      table.writeUInt32LE(10, spanAt(0) + 16);
      table[spanAt(0) + 32] = 1;
    }),
    ...windowed,
  ],
  ["eight bits of a byte", byte(spanAt(1) + 24, 8), "INVALID_ARGUMENT", "fine-bits"],
  ["bytes behind the bits", byte(spanAt(1) + 25, 1), ...malformed],
  ["a span at the archive's end", span64(spans - 1, 0, gzipped.tar.length), ...range],
  ["a span behind the archive's end", span64(1, 0, 2n ** 60n), ...range],
  ["a span at the blob's end", span64(spans - 1, 8, gzipped.blob.length), ...range],
  ["a span behind the blob's end", span64(1, 8, 2n ** 52n), "RESOURCE_EXHAUSTED", "fine-span-too-large"],
  ["two spans at one place of the archive", span64(1, 0, 0), ...order],
  ["two spans at one place of the blob", span64(2, 8, places[1]!.blobOffset), ...order],
  ["spans in the wrong order in the archive", span64(2, 0, places[1]!.dataOffset - 1), ...order],
  ["spans in the wrong order in the blob", span64(2, 8, places[1]!.blobOffset - 1), ...order],
  [
    "a span that has too many bytes for its range",
    changed((table) => {
      // All of the archive but its last byte in the first few bytes of the blob.
      for (let index = 1; index < spans; index += 1) {
        table.writeBigUInt64LE(BigInt(gzipped.tar.length - spans + index), spanAt(index));
        table.writeBigUInt64LE(BigInt(places[0]!.blobOffset + index), spanAt(index) + 8);
        table[spanAt(index) + 24] = 0;
      }
    }),
    "INVALID_ARGUMENT",
    "fine-ratio",
  ],
  ["a window of 4 GiB", number32(spanAt(1) + 16, 0xffff_ffff), ...windowed],
  ["a window of one byte more", number32(spanAt(1) + 16, places[1]!.window.length + 1), ...windowed],
  ["windows of one byte less than their blob", number64(56, gzipped.windows.length + 1), ...windowed],
  ["no windows, with the digest of some", number64(56, 0), ...malformed],
  ["no window, with its digest", number32(spanAt(1) + 16, 0), ...malformed],
  [
    "no window, with its checksum",
    changed((table) => {
      table.writeUInt32LE(0, spanAt(1) + 16);
      table.fill(0, spanAt(1) + 32, spanAt(1) + 64);
    }),
    ...windowed,
  ],
  ["gzip taken for zstd", byte(12, 2), ...windowed],
  ["gzip taken for a raw archive", byte(12, 0), ...order],
  ["a raw archive taken for gzip", byte(12, 1, plain), ...order],
  ["a raw archive longer than its blob", number64(24, plain.blob.length + 512, plain), ...range],
  ["a raw archive that begins behind its blob's start", number64(spanAt(0) + 8, 1, plain), ...order],
];

const binding = loadBinding();
const window = places[1]!.window;
const packed = gzipped.windows.subarray(window.offset, window.offset + window.length);
const decompress = async (frame: Uint8Array, maxSize: number): Promise<Buffer> =>
  await binding.decompressFrame(frame, maxSize);
const mismatch: Verdict = ["DATA_LOSS", "fine-window-mismatch"];
const digestOf = async (bytes: Buffer): Promise<Buffer> =>
  (await import("node:crypto")).createHash("sha256").update(bytes).digest();
const unpacked =
  (bytes: Buffer, crc = window.crc) =>
  async () =>
    await unpackWindow({
      packed: bytes,
      window: { ...window, crc, sha256: await digestOf(bytes) },
      decompress,
    });

const windowRows: readonly Row[] = [
  [
    "a window with other bytes",
    () => unpackWindow({ packed: Buffer.alloc(window.length), window, decompress }),
    ...mismatch,
  ],
  [
    "a window cut short",
    () => unpackWindow({ packed: packed.subarray(0, -1), window, decompress }),
    ...mismatch,
  ],
  ["a window that is no frame", unpacked(Buffer.from("not one frame of zstd")), ...mismatch],
  ["a window in half a frame", unpacked(packed.subarray(0, packed.length / 2)), ...mismatch],
  ["a window of another checksum", unpacked(packed, window.crc ^ 1), ...mismatch],
  [
    "a window of 1 MiB of zeros",
    async () => unpacked(await binding.compressFrame(Buffer.alloc(1 << 20), 3))(),
    ...mismatch,
  ],
];

const headersChanged = (change: (headers: Buffer) => unknown) => () => {
  const headers = Buffer.from(gzipped.headers);
  change(headers);
  const { table, layer, blob } = gzipped;
  return compileFine({ table, headers, layer, blobSize: blob.length });
};

const treeRows: readonly Row[] = [
  [
    "a record of another place",
    headersChanged((headers) => headers.writeBigUInt64LE(512n, 0)),
    "DATA_LOSS",
    "tar-headers-missing",
  ],
  [
    "a record of all bytes",
    headersChanged((headers) => headers.writeBigUInt64LE(2n ** 64n - 1n, 8)),
    "DATA_LOSS",
    "tar-headers-missing",
  ],
  [
    "a header with another checksum",
    headersChanged((headers) => headers.write("other", 16)),
    "INVALID_ARGUMENT",
    "tar-checksum",
  ],
  [
    "a file that leads outside the archive",
    headersChanged((headers) => {
      const at = 16 + 512 + 16;
      headers.write("77777777777\0", at + 124, "latin1");
      headers.write("        ", at + 148, "latin1");
      const sum = headers.subarray(at, at + 512).reduce((total, value) => total + value, 0);
      headers.write(`${sum.toString(8).padStart(6, "0")}\0 `, at + 148, "latin1");
    }),
    "INVALID_ARGUMENT",
    "tar-truncated",
  ],
];

const subject = parseDigest(`sha256:${"5".repeat(64)}`);
const manifest = JSON.parse(
  buildFineManifest({
    layers: [{ layer: gzipped.layer, table: { digest: subject, size: 10 }, windows: undefined }],
    subject: { digest: subject, size: 3, mediaType: "application/vnd.oci.image.manifest.v1+json" },
  }).bytes.toString(),
) as Record<string, unknown> & { layers: Record<string, unknown>[] };
const withFields = (fields: Record<string, unknown>) => () =>
  parseFineManifest(Buffer.from(JSON.stringify({ ...manifest, ...fields })), { subject });
const table = manifest.layers[0]!;
const annotations = { [FINE_LAYER_ANNOTATION]: gzipped.layer };

const manifestRows: readonly Row[] = [
  ["no artifact type", withFields({ artifactType: undefined }), "INVALID_ARGUMENT", "fine-index-invalid"],
  [
    "the next version's type",
    withFields({ artifactType: FINE_ARTIFACT_TYPE.replace("v1", "v2") }),
    "INVALID_ARGUMENT",
    "fine-index-invalid",
  ],
  [
    "a type that is no text",
    withFields({ artifactType: [FINE_ARTIFACT_TYPE] }),
    "INVALID_ARGUMENT",
    "fine-index-invalid",
  ],
  ["no subject", withFields({ subject: undefined }), "INVALID_ARGUMENT", "fine-index-other-image"],
  ["a subject that is none", withFields({ subject: null }), "INVALID_ARGUMENT", "fine-index-other-image"],
  [
    "another image's subject",
    withFields({ subject: { digest: gzipped.layer } }),
    "INVALID_ARGUMENT",
    "fine-index-other-image",
  ],
  [
    "two tables of one layer",
    withFields({ layers: [table, { ...table, digest: gzipped.layer }] }),
    "INVALID_ARGUMENT",
    "fine-index-ambiguous",
  ],
  [
    "a table of no layer",
    withFields({ layers: [{ ...table, annotations: {} }] }),
    "INVALID_ARGUMENT",
    "digest-invalid",
  ],
  [
    "a table of what is no digest",
    withFields({ layers: [{ ...table, annotations: { [FINE_LAYER_ANNOTATION]: "sha256:1" } }] }),
    "INVALID_ARGUMENT",
    "digest-invalid",
  ],
  [
    "a table of 1 GiB",
    withFields({ layers: [{ ...table, mediaType: fineMediaTypes.table, size: 2 ** 30, annotations }] }),
    "RESOURCE_EXHAUSTED",
    "fine-table-too-large",
  ],
  [
    "a table of -1 bytes",
    withFields({ layers: [{ ...table, size: -1 }] }),
    "INVALID_ARGUMENT",
    "manifest-invalid",
  ],
];

export const fineCases: readonly HostileCase[] = [
  ...headerRows,
  ...spanRows,
  ...windowRows,
  ...treeRows,
  ...manifestRows,
].map(([name, run, code, reason]) => ({ name, run, code, reason }));
