import { digestBytes } from "../bytes/index.js";
import { type Checkpoint, type GzipZinfo, readGzipZinfo } from "./gzip-zinfo.js";
import {
  ARCHIVE_PADDING_MAX,
  DATA_BYTES_MAX,
  DEFLATE_RATIO_MAX,
  GZIP_HEADER_BYTES_MIN,
  SPAN_BYTES_MAX,
  SPAN_SLACK_BYTES,
  WINDOW_BYTES,
} from "./limits.js";
import { refuseZtoc, refuseZtocSize } from "./refusal.js";
import { readTarZinfo, type TarZinfo } from "./tar-zinfo.js";
import type { ZtocFacts } from "./ztoc.js";

/** One span as a unit of the data file. Offsets and lengths in bytes. */
export interface SpanUnit {
  readonly dataOffset: number;
  readonly dataLength: number;
  /** Begins with the byte that a span shares with the one before it, if there is one. */
  readonly blobOffset: number;
  /** What follows `dataLength` decoded bytes in it is of no interest; it may go through several gzip members. */
  readonly blobLength: number;
  /** Of `deflateSpan`: how many high bits of the first byte belong to the span (0: all, and it is a byte as any). */
  readonly innerOffset: number;
  readonly sha256: Uint8Array;
  readonly codec: "deflateSpan" | "raw";
  /** `sha256` is that of the bytes in the blob, not of the decoded ones. */
  readonly digestOf: "blob";
}

export interface SpanLayout {
  readonly units: SpanUnit[];
  /** What each unit of codec `deflateSpan` may refer back to: 32 KiB a unit, in their order. Empty for raw units. */
  readonly windows: Buffer;
  /** Bytes of the data file, which is the tar. */
  readonly dataSize: number;
  readonly spanSize: number;
}

/** Spans as units. @throws as readZtoc() */
export function layOutSpans(ztoc: ZtocFacts): SpanLayout {
  const { uncompressedSize } = ztoc;
  if (uncompressedSize > DATA_BYTES_MAX) {
    throw refuseZtocSize(
      "ztoc-data-too-large",
      `want at most ${DATA_BYTES_MAX} bytes, got ${uncompressedSize}`,
    );
  }
  return ztoc.algorithm === "gzip"
    ? layOutGzip(ztoc, readGzipZinfo(ztoc.zinfo))
    : layOutTar(ztoc, readTarZinfo(ztoc.zinfo));
}

/** Where each span lies in the blob: what its digest is of. The spans of gzip share a byte where one ends inside it. */
export function spanRanges(
  checkpoints: readonly Pick<Checkpoint, "blobOffset" | "bits">[],
  compressedSize: number,
): { readonly start: number; readonly end: number }[] {
  return checkpoints.map(({ blobOffset, bits }, index) => ({
    start: bits === 0 ? blobOffset : blobOffset - 1,
    end: checkpoints[index + 1]?.blobOffset ?? compressedSize,
  }));
}

function layOutGzip(ztoc: ZtocFacts, zinfo: GzipZinfo): SpanLayout {
  const { checkpoints, spanSize } = zinfo;
  const { compressedSize, uncompressedSize, spanDigests } = ztoc;
  if (checkpoints.length !== spanDigests.length) {
    throw refuseZtoc(
      "ztoc-span-count",
      `${checkpoints.length} checkpoints for ${spanDigests.length} digests`,
    );
  }
  checkOrder(checkpoints, ztoc);
  const ranges = spanRanges(checkpoints, compressedSize);
  // The last checkpoint may lie in the padding behind the archive: then no byte of the data file is in its span.
  const count = checkpoints.at(-1)!.dataOffset < uncompressedSize ? ranges.length : ranges.length - 1;
  const windows = Buffer.alloc(count * WINDOW_BYTES);
  const units: SpanUnit[] = [];
  for (let index = 0; index < count; index++) {
    const { dataOffset, bits, window } = checkpoints[index]!;
    const { start, end } = ranges[index]!;
    const decoded = (checkpoints[index + 1]?.dataOffset ?? uncompressedSize) - dataOffset;
    checkSpan({ index, decoded, compressed: end - start });
    const known = Math.min(dataOffset, WINDOW_BYTES);
    // Nothing lies before the start of the tar, whatever a writer may have left there.
    windows.set(window.subarray(WINDOW_BYTES - known), (index + 1) * WINDOW_BYTES - known);
    units.push({
      dataOffset,
      dataLength: Math.min(decoded, uncompressedSize - dataOffset),
      blobOffset: start,
      blobLength: end - start,
      innerOffset: bits,
      sha256: digestBytes(spanDigests[index]!),
      codec: "deflateSpan",
      digestOf: "blob",
    });
  }
  return { units, windows, dataSize: uncompressedSize, spanSize };
}

function checkOrder(checkpoints: readonly Checkpoint[], sizes: ZtocFacts): void {
  const { compressedSize, uncompressedSize } = sizes;
  const first = checkpoints[0]!;
  if (first.dataOffset !== 0 || first.bits !== 0 || first.blobOffset < GZIP_HEADER_BYTES_MIN) {
    throw refuseZtoc("zinfo-order", "the first span does not begin behind the header of the stream");
  }
  for (const [index, { blobOffset, dataOffset, bits }] of checkpoints.entries()) {
    if (bits > 7) throw refuseZtoc("zinfo-bits", `want 0 to 7 bits for span ${index}, got ${bits}`);
    const dataEnd = uncompressedSize + (index === checkpoints.length - 1 ? ARCHIVE_PADDING_MAX : 0);
    if (blobOffset >= compressedSize || dataOffset > dataEnd) {
      throw refuseZtoc("zinfo-range", `span ${index} lies outside: ${blobOffset} to ${dataOffset}`);
    }
    if (index === 0) continue;
    const before = checkpoints[index - 1]!;
    const startBefore = before.blobOffset - (before.bits === 0 ? 0 : 1);
    if (
      blobOffset - (bits === 0 ? 0 : 1) <= startBefore ||
      blobOffset <= before.blobOffset ||
      dataOffset <= before.dataOffset
    ) {
      throw refuseZtoc("zinfo-order", `span ${index} does not lie behind the one before it`);
    }
  }
}

function checkSpan(span: { index: number; decoded: number; compressed: number }): void {
  const { index, decoded, compressed } = span;
  if (decoded > SPAN_BYTES_MAX || compressed > decoded * 2 + SPAN_SLACK_BYTES) {
    throw refuseZtocSize(
      "ztoc-span-too-large",
      `want at most ${SPAN_BYTES_MAX} bytes in span ${index}, got ${decoded} from ${compressed}`,
    );
  }
  if (decoded > compressed * DEFLATE_RATIO_MAX) {
    throw refuseZtoc("zinfo-ratio", `span ${index} can't have ${decoded} bytes in ${compressed}`);
  }
}

function layOutTar(ztoc: ZtocFacts, { spanSize, size }: TarZinfo): SpanLayout {
  const { compressedSize, uncompressedSize, spanDigests } = ztoc;
  if (size !== compressedSize || uncompressedSize > size) {
    throw refuseZtoc("zinfo-range", `spans of ${size} bytes in a blob of ${compressedSize}`);
  }
  if (Math.ceil(size / spanSize) !== spanDigests.length) {
    throw refuseZtoc(
      "ztoc-span-count",
      `${size} bytes in spans of ${spanSize}, ${spanDigests.length} digests`,
    );
  }
  if (Math.min(spanSize, size) > SPAN_BYTES_MAX) {
    throw refuseZtocSize("ztoc-span-too-large", `want at most ${SPAN_BYTES_MAX} bytes, got ${spanSize}`);
  }
  const units = spanDigests.map((digest, index): SpanUnit => {
    const offset = index * spanSize;
    const length = Math.min(spanSize, size - offset);
    return {
      dataOffset: offset,
      dataLength: length,
      blobOffset: offset,
      blobLength: length,
      innerOffset: 0,
      sha256: digestBytes(digest),
      codec: "raw",
      digestOf: "blob",
    };
  });
  return { units, windows: Buffer.alloc(0), dataSize: size, spanSize };
}
