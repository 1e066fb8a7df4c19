import { type Digest, parseDigest } from "../bytes/index.js";
import { WINDOW_SIZE } from "../units/index.js";
import {
  DIGEST_SIZE,
  FINE_HEADER_SIZE,
  FINE_MAGIC,
  FINE_SPAN_SIZE,
  FINE_VERSION,
  type FineCodec,
  type FineSpan,
  type FineTable,
  fineCodecs,
} from "./fine-table.js";
import {
  DATA_BYTES_MAX,
  DEFLATE_RATIO_MAX,
  FINE_TABLE_BYTES_MAX,
  GZIP_HEADER_BYTES_MIN,
  HEADERS_BYTES_MAX,
  LEAF_BYTES_MAX,
  LEAF_BYTES_MIN,
  LEAVES_MAX,
  PACKED_WINDOW_BYTES_MAX,
  SPAN_BYTES_MAX,
  SPAN_SLACK_BYTES,
  SPANS_MAX,
} from "./limits.js";
import { refuseFine, refuseFineSize } from "./refusal.js";
import { windowCrc } from "./window.js";

const ZERO_WINDOW_CRC = windowCrc(Buffer.alloc(WINDOW_SIZE));

export interface ParseFineOptions {
  readonly table: Buffer;
  /** The layer that it has to be of, and the bytes of its blob. */
  readonly layer: Digest;
  readonly blobSize: number;
}

interface Header extends Omit<FineTable, "spans" | "leaves" | "packedTree"> {
  readonly spanCount: number;
  readonly leafCount: number;
  readonly packedTreeSize: number;
}

/**
 * Reads the table of a layer, whose own digest was checked. Views of its bytes are given, nothing is decoded.
 * @throws INVALID_ARGUMENT with a FineReason, RESOURCE_EXHAUSTED with a FineLimit
 */
export function parseFineTable(options: ParseFineOptions): FineTable {
  const { table: bytes, layer, blobSize } = options;
  if (bytes.length > FINE_TABLE_BYTES_MAX) {
    throw refuseFineSize(
      "fine-table-too-large",
      `want at most ${FINE_TABLE_BYTES_MAX} bytes, got ${bytes.length}`,
    );
  }
  const { spanCount, leafCount, packedTreeSize, ...facts } = readHeader(bytes);
  if (facts.layer !== layer || facts.blobSize !== blobSize) {
    throw refuseFine("fine-other-layer", `it is of ${facts.layer}, a blob of ${facts.blobSize} bytes`);
  }
  const leavesAt = FINE_HEADER_SIZE + spanCount * FINE_SPAN_SIZE;
  const treeAt = leavesAt + leafCount * DIGEST_SIZE;
  if (treeAt + packedTreeSize !== bytes.length) {
    throw refuseFine(
      "fine-table-malformed",
      `its parts have ${treeAt + packedTreeSize} bytes of ${bytes.length}`,
    );
  }
  const spans = readSpans(bytes.subarray(FINE_HEADER_SIZE, leavesAt), facts);
  const leaves = spans.reduce((sum, { dataLength }) => sum + Math.ceil(dataLength / facts.leafSize), 0);
  if (leaves !== leafCount)
    throw refuseFine("fine-count", `${leafCount} leaves where its spans have ${leaves}`);
  return {
    ...facts,
    spans,
    leaves: bytes.subarray(leavesAt, treeAt),
    packedTree: bytes.subarray(treeAt),
  };
}

function readHeader(bytes: Buffer): Header {
  if (bytes.length < FINE_HEADER_SIZE || !bytes.subarray(0, 8).equals(FINE_MAGIC)) {
    throw refuseFine("fine-table-malformed", "it does not begin as a table");
  }
  const version = bytes.readUInt32LE(8);
  if (version !== FINE_VERSION) throw refuseFine("fine-table-version", `its version is ${version}`);
  const codec = fineCodecs[bytes.readUInt8(12)];
  if (codec === undefined) throw refuseFine("fine-codec", "its codec is unknown");
  requireZeros(bytes.subarray(13, 16), "header");
  requireZeros(bytes.subarray(52, 56), "header");
  const windowsSize = numberAt(bytes, 56);
  const leafSize = bytes.readUInt32LE(32);
  if (leafSize < LEAF_BYTES_MIN || leafSize > LEAF_BYTES_MAX || (leafSize & (leafSize - 1)) !== 0) {
    throw refuseFine("fine-leaf-size", `its leaves have ${leafSize} bytes`);
  }
  const header: Header = {
    codec,
    blobSize: numberAt(bytes, 16),
    dataSize: numberAt(bytes, 24),
    leafSize,
    spanCount: bytes.readUInt32LE(36),
    leafCount: bytes.readUInt32LE(40),
    packedTreeSize: bytes.readUInt32LE(44),
    treeSize: bytes.readUInt32LE(48),
    layer: digestAt(bytes, 64),
    windows: windowsSize === 0 ? undefined : { digest: digestAt(bytes, 96), size: windowsSize },
  };
  if (windowsSize === 0) requireZeros(bytes.subarray(96, 128), "header");
  checkSizes(header);
  return header;
}

function checkSizes({ dataSize, spanCount, leafCount, treeSize }: Header): void {
  if (dataSize > DATA_BYTES_MAX) {
    throw refuseFineSize(
      "fine-data-too-large",
      `want at most ${DATA_BYTES_MAX} bytes in the archive, got ${dataSize}`,
    );
  }
  if (spanCount > SPANS_MAX)
    throw refuseFineSize("fine-too-many-spans", `want at most ${SPANS_MAX} spans, got ${spanCount}`);
  if (leafCount > LEAVES_MAX)
    throw refuseFineSize("fine-too-many-leaves", `want at most ${LEAVES_MAX} leaves, got ${leafCount}`);
  if (treeSize > HEADERS_BYTES_MAX) {
    throw refuseFineSize(
      "fine-tree-too-large",
      `want at most ${HEADERS_BYTES_MAX} bytes in the tree, got ${treeSize}`,
    );
  }
  if (spanCount === 0) throw refuseFine("fine-count", "it has no spans");
}

type Facts = Pick<FineTable, "codec" | "blobSize" | "dataSize" | "windows">;

function readSpans(records: Buffer, facts: Facts): FineSpan[] {
  const { codec, blobSize, dataSize, windows } = facts;
  const count = records.length / FINE_SPAN_SIZE;
  const at = (index: number): Buffer => records.subarray(index * FINE_SPAN_SIZE);
  const spans: FineSpan[] = [];
  let windowsEnd = 0;
  for (let index = 0; index < count; index += 1) {
    const record = at(index);
    const dataOffset = numberAt(record, 0);
    const blobOffset = numberAt(record, 8);
    const bits = record.readUInt8(24);
    const isLast = index + 1 === count;
    const dataEnd = isLast ? dataSize : numberAt(at(index + 1), 0);
    const nextBits = isLast ? 0 : at(index + 1).readUInt8(24);
    const blobEnd = isLast ? blobSize : numberAt(at(index + 1), 8) + (nextBits > 0 ? 1 : 0);
    requireZeros(record.subarray(25, 32), `span ${index}`);
    const window = {
      offset: windowsEnd,
      length: record.readUInt32LE(16),
      crc: record.readUInt32LE(20),
      sha256: record.subarray(32, FINE_SPAN_SIZE),
    };
    const span = {
      ...{ dataOffset, dataLength: dataEnd - dataOffset, blobOffset, blobLength: blobEnd - blobOffset },
      ...{ bits, window },
    };
    checkPlace(index, span, { facts, before: spans.at(-1) });
    checkLengths(index, span, codec);
    checkWindow(index, span, codec);
    windowsEnd += window.length;
    spans.push(span);
  }
  if (windowsEnd !== (windows?.size ?? 0)) {
    throw refuseFine("fine-window", `windows of ${windowsEnd} bytes in a blob of ${windows?.size ?? 0}`);
  }
  return spans;
}

function checkPlace(
  index: number,
  span: FineSpan,
  { facts, before }: { readonly facts: Facts; readonly before: FineSpan | undefined },
): void {
  const { codec, blobSize, dataSize } = facts;
  const { dataOffset, blobOffset, bits } = span;
  if (dataOffset >= dataSize || blobOffset >= blobSize) {
    throw refuseFine("fine-range", `span ${index} lies outside: ${blobOffset} to ${dataOffset}`);
  }
  if (bits > (codec === "gzip" ? 7 : 0)) throw refuseFine("fine-bits", `span ${index} begins at bit ${bits}`);
  if (before !== undefined) {
    if (dataOffset > before.dataOffset && blobOffset > before.blobOffset) return;
    throw refuseFine("fine-order", `span ${index} does not lie behind the one before it`);
  }
  const isRaw = codec === "raw";
  const isStart = dataOffset === 0 && bits === 0 && (codec !== "gzip" || blobOffset >= GZIP_HEADER_BYTES_MIN);
  if (!isStart || (isRaw && blobOffset !== 0)) {
    throw refuseFine("fine-order", "the first span does not begin where the archive does");
  }
}

function checkLengths(index: number, span: FineSpan, codec: FineCodec): void {
  const { dataLength, blobLength } = span;
  // The next span's place says so; it is looked at on its own turn.
  if (dataLength <= 0 || blobLength <= 0) throw refuseFine("fine-order", `span ${index} has no bytes`);
  if (codec === "raw") {
    if (dataLength === blobLength && index === 0) return;
    throw refuseFine("fine-range", `a raw archive is one span of all its bytes`);
  }
  if (dataLength > SPAN_BYTES_MAX || blobLength > dataLength * 2 + SPAN_SLACK_BYTES) {
    throw refuseFineSize(
      "fine-span-too-large",
      `want at most ${SPAN_BYTES_MAX} bytes in span ${index}, got ${dataLength} from ${blobLength}`,
    );
  }
  if (codec === "gzip" && dataLength > blobLength * DEFLATE_RATIO_MAX) {
    throw refuseFine("fine-ratio", `span ${index} can't have ${dataLength} bytes in ${blobLength}`);
  }
}

function checkWindow(index: number, { dataOffset, window }: FineSpan, codec: FineCodec): void {
  const isEmpty = window.length === 0;
  if (isEmpty) requireZeros(window.sha256, `span ${index}`);
  const wantedCrc = codec === "gzip" ? ZERO_WINDOW_CRC : 0;
  if (isEmpty && window.crc !== wantedCrc) {
    throw refuseFine("fine-window", `span ${index} has no window, and a checksum of one`);
  }
  const mayHaveOne = codec === "gzip" && dataOffset > 0;
  if (!isEmpty && !mayHaveOne) throw refuseFine("fine-window", `span ${index} needs no window, but has one`);
  if (window.length > PACKED_WINDOW_BYTES_MAX) {
    throw refuseFine("fine-window", `the window of span ${index} has ${window.length} bytes`);
  }
}

function requireZeros(bytes: Buffer, what: string): void {
  if (bytes.some((byte) => byte !== 0))
    throw refuseFine("fine-table-malformed", `the ${what} has bytes that mean nothing`);
}

/** Beyond what JavaScript counts, no place fits: it is said in the words of the first check that it fails. */
function numberAt(bytes: Buffer, at: number): number {
  const value = bytes.readBigUInt64LE(at);
  if (value <= Number.MAX_SAFE_INTEGER) return Number(value);
  throw refuseFine("fine-range", `${value} is no offset or size`);
}

function digestAt(bytes: Buffer, at: number): Digest {
  return parseDigest(`sha256:${bytes.subarray(at, at + DIGEST_SIZE).toString("hex")}`);
}
