import { failedPrecondition } from "../errors/index.js";
import { TOC_COMPRESSED_BYTES_MAX, TOC_JSON_BYTES_MAX } from "../estargz/index.js";
import { MANIFEST_TYPE, requireManifestType } from "./annotations.js";
import { type FramePlace, isSkippableHeader, SKIPPABLE_HEADER_BYTES, skippableFrame } from "./frames.js";
import { TAR_SPLIT_BYTES_MAX } from "./limits.js";
import { refuseBlob, refuseBlobSize, type ZstdChunkedLimit } from "./refusal.js";

/** What the last bytes of a zstd:chunked blob say, checked against its size. */
export interface ZstdChunkedFooter {
  readonly toc: FramePlace;
  /** What is needed to make the tar again, byte for byte. */
  readonly tarSplit: FramePlace | undefined;
  /** Where the footer's skippable frame begins. */
  readonly start: number;
}

/** Bytes of the longest footer with its frame: how much of a blob's end parseZstdFooter() wants. */
export const ZSTD_FOOTER_SIZE_MAX = 72;

/** "GnUlInUx" of stargz-snapshotter and of containers/storage before tar-split; "GNUlInUx" of the latter since. */
const SHORT_MAGIC = Buffer.from("GnUlInUx", "latin1");
const LONG_MAGIC = Buffer.from("GNUlInUx", "latin1");
const MAGIC_BYTES = 8;
const NUMBER_BYTES = 8;
/** Offset, compressed size, size and type of the TOC; then magic. */
const SHORT_BYTES = 40;
/** Offset, compressed size and size of the tar-split come before the magic. */
const LONG_BYTES = 64;

/**
 * Reads the footer of either dialect. The TOC, the tar-split and the footer must follow each other without a gap: a frame
 * between them would be content for whoever unpacks the blob, and none for us.
 *
 * @param tail the last bytes of the blob, ZSTD_FOOTER_SIZE_MAX or more unless the blob is shorter
 * @throws FAILED_PRECONDITION `not-zstd-chunked`; INVALID_ARGUMENT `footer-malformed`, `footer-offset-out-of-range`,
 * `footer-chain`, `manifest-type-unsupported`; RESOURCE_EXHAUSTED `toc-too-large`, `tar-split-too-large`
 */
export function parseZstdFooter(tail: Buffer, blobSize: number): ZstdChunkedFooter {
  const available = Math.min(tail.length, blobSize);
  for (const [size, magic] of [
    [SHORT_BYTES, SHORT_MAGIC],
    [LONG_BYTES, LONG_MAGIC],
  ] as const) {
    const frameSize = size + SKIPPABLE_HEADER_BYTES;
    if (available < frameSize || !tail.subarray(tail.length - MAGIC_BYTES).equals(magic)) continue;
    const frame = tail.subarray(tail.length - frameSize);
    if (!isSkippableHeader(frame, size)) {
      throw refuseBlob("footer-malformed", `no skippable frame of ${size} bytes ends the blob`);
    }
    return checkedFooter(frame.subarray(SKIPPABLE_HEADER_BYTES), blobSize - frameSize);
  }
  throw failedPrecondition("Cannot read layer lazily: its last bytes are no zstd:chunked footer", {
    reason: "not-zstd-chunked",
    hint: "Convert the image with `ctr-remote images convert --zstdchunked --oci` or `skopeo copy --dest-compress-format zstd:chunked`",
  });
}

function checkedFooter(fields: Buffer, start: number): ZstdChunkedFooter {
  const numberAt = (index: number): bigint => fields.readBigUInt64LE(index * NUMBER_BYTES);
  const type = numberAt(3);
  requireManifestType(type > BigInt(MANIFEST_TYPE) ? -1 : Number(type));
  const toc = place([numberAt(0), numberAt(1), numberAt(2)], start, "toc-too-large");
  if (fields.length === SHORT_BYTES) {
    requireChain(toc, start);
    return { toc, tarSplit: undefined, start };
  }
  const numbers = [numberAt(4), numberAt(5), numberAt(6)] as const;
  if (numbers.every((number) => number === 0n)) {
    requireChain(toc, start);
    return { toc, tarSplit: undefined, start };
  }
  const tarSplit = place(numbers, start, "tar-split-too-large");
  requireChain(toc, tarSplit.offset - SKIPPABLE_HEADER_BYTES);
  requireChain(tarSplit, start);
  return { toc, tarSplit, start };
}

const sizesMax: Readonly<Record<ZstdChunkedLimit, { compressed: bigint; size: bigint }>> = {
  "toc-too-large": { compressed: BigInt(TOC_COMPRESSED_BYTES_MAX), size: BigInt(TOC_JSON_BYTES_MAX) },
  "tar-split-too-large": { compressed: BigInt(TAR_SPLIT_BYTES_MAX), size: BigInt(TAR_SPLIT_BYTES_MAX) },
};

/** All sums are of bigints: the numbers may be up to 2^64. */
function place(numbers: readonly [bigint, bigint, bigint], end: number, limit: ZstdChunkedLimit): FramePlace {
  const [offset, compressedSize, size] = numbers;
  if (
    offset < SKIPPABLE_HEADER_BYTES ||
    offset + compressedSize > end ||
    compressedSize === 0n ||
    size === 0n
  ) {
    throw refuseBlob(
      "footer-offset-out-of-range",
      `want a frame between ${SKIPPABLE_HEADER_BYTES} and ${end}, got ${compressedSize} bytes for ${size} at ${offset}`,
    );
  }
  const { compressed: compressedMax, size: sizeMax } = sizesMax[limit];
  if (compressedSize > compressedMax || size > sizeMax) {
    throw refuseBlobSize(
      limit,
      `want at most ${sizeMax} bytes, and ${compressedMax} compressed, got ${size} and ${compressedSize}`,
    );
  }
  return { offset: Number(offset), compressedSize: Number(compressedSize), size: Number(size) };
}

function requireChain(frame: FramePlace, next: number): void {
  const end = frame.offset + frame.compressedSize;
  if (end !== next) throw refuseBlob("footer-chain", `a frame ends at ${end} and the next begins at ${next}`);
}

/** The footer with its frame: the short form without a tar-split, the long one with it. */
export function zstdFooterOf(footer: { toc: FramePlace; tarSplit: FramePlace | undefined }): Buffer {
  const { toc, tarSplit } = footer;
  const numbers = [toc.offset, toc.compressedSize, toc.size, MANIFEST_TYPE];
  if (tarSplit !== undefined) numbers.push(tarSplit.offset, tarSplit.compressedSize, tarSplit.size);
  const fields = Buffer.alloc(numbers.length * NUMBER_BYTES);
  for (const [index, number] of numbers.entries())
    fields.writeBigUInt64LE(BigInt(number), index * NUMBER_BYTES);
  return skippableFrame(Buffer.concat([fields, tarSplit === undefined ? SHORT_MAGIC : LONG_MAGIC]));
}
