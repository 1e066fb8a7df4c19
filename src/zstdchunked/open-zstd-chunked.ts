import type { Digest } from "../bytes/index.js";
import { dataLoss } from "../errors/index.js";
import { type ReadBlob, type TocDialect, tailGuess } from "../estargz/index.js";
import { type Annotations, type KnownPlaces, parseAnnotations } from "./annotations.js";
import { type DecompressFrame, decodeFrame, requireDigest } from "./decode-frame.js";
import { parseZstdFooter, ZSTD_FOOTER_SIZE_MAX, type ZstdChunkedFooter } from "./footer.js";
import { type FramePlace, requireSkippable, SKIPPABLE_HEADER_BYTES } from "./frames.js";
import { refuseBlob } from "./refusal.js";

export interface OpenZstdChunkedOptions {
  readonly blobSize: number;
  readonly read: ReadBlob;
  /** See DecompressFrame; the native addon has one. */
  readonly decompress: DecompressFrame;
  /** Of the layer's descriptor, or labels with the same keys: at least a digest of the TOC must be among them. */
  readonly annotations: Annotations;
  readonly signal?: AbortSignal | undefined;
  /** Bytes of the first read when no annotation says where the TOC is; tailGuess() unless given. */
  readonly tailGuessBytes?: number | undefined;
}

/** Where the tar-split of a layer lies, and what it must be; for readTarSplit(). */
export interface TarSplitPlace extends FramePlace {
  /** From the annotations; the TOC may have another. */
  readonly checksum: Digest | undefined;
}

export interface OpenedZstdChunked {
  /** The verified JSON. */
  readonly toc: Buffer;
  /** Who wrote it: which fields of it count. */
  readonly dialect: TocDialect;
  /** Bytes of the blob that can hold content. */
  readonly payloadEnd: number;
  readonly tarSplit: TarSplitPlace | undefined;
}

/** A first read that an annotation makes longer than this leaves the tar-split to a second one. */
const TAIL_BYTES_MAX = 4 * 1024 * 1024;

/**
 * Reads and verifies the TOC of a zstd:chunked blob of either dialect: one read of the tail, and a second one for what
 * the tail lacks. The chain of digests: the image's manifest is trusted, its annotations have the digest of the TOC
 * (compressed, of its JSON, or both), and the TOC has those of all chunks.
 *
 * @throws as parseAnnotations() and parseZstdFooter(); DATA_LOSS `toc-digest-mismatch`, `short-read`; INVALID_ARGUMENT
 * `footer-annotation-mismatch`, `frame-malformed`, `toc-zstd-malformed`; RESOURCE_EXHAUSTED `toc-too-large`; and what
 * `read` throws
 */
export async function openZstdChunked(options: OpenZstdChunkedOptions): Promise<OpenedZstdChunked> {
  const { blobSize, decompress, signal } = options;
  const known = parseAnnotations(options.annotations);
  const tailStart = Math.max(0, blobSize - firstReadBytes(options, known));
  const tail = await readExactly(options, tailStart, blobSize - tailStart);
  const footer = parseZstdFooter(tail, blobSize);
  requireAgreement(known, footer);
  const { toc: place, tarSplit } = footer;
  const frameStart = place.offset - SKIPPABLE_HEADER_BYTES;
  // The header of the next frame, too: it must be one that is skipped.
  const end = place.offset + place.compressedSize + SKIPPABLE_HEADER_BYTES;
  const missing = Math.max(0, Math.min(end, tailStart) - frameStart);
  const bytes = Buffer.concat([
    await readExactly(options, frameStart, missing),
    tail.subarray(Math.max(0, frameStart - tailStart), Math.max(0, end - tailStart)),
  ]);
  requireSkippable(bytes, place);
  if (tarSplit !== undefined) requireSkippable(bytes.subarray(-SKIPPABLE_HEADER_BYTES), tarSplit);
  const toc = await decodeFrame({
    frame: bytes.subarray(SKIPPABLE_HEADER_BYTES, SKIPPABLE_HEADER_BYTES + place.compressedSize),
    place,
    decompress,
    checksums: known.manifestChecksum === undefined ? [] : [known.manifestChecksum],
    what: "TOC",
    signal,
  });
  if (known.tocDigest !== undefined) requireDigest({ bytes: toc, digest: known.tocDigest, what: "TOC" });
  return {
    toc,
    dialect: known.tocDigest !== undefined && tarSplit === undefined ? "stargz" : "containers",
    payloadEnd: frameStart,
    tarSplit: tarSplit === undefined ? undefined : { ...tarSplit, checksum: known.tarSplitChecksum },
  };
}

function firstReadBytes(options: OpenZstdChunkedOptions, known: KnownPlaces): number {
  const { blobSize, tailGuessBytes } = options;
  const { manifest } = known;
  if (manifest === undefined) return Math.max(tailGuessBytes ?? tailGuess(blobSize), ZSTD_FOOTER_SIZE_MAX);
  if (manifest.offset < SKIPPABLE_HEADER_BYTES || manifest.offset >= blobSize) {
    throw refuseBlob(
      "footer-annotation-mismatch",
      `a blob of ${blobSize} bytes has no TOC at ${manifest.offset}`,
    );
  }
  const wanted = Math.min(blobSize - manifest.offset + SKIPPABLE_HEADER_BYTES, TAIL_BYTES_MAX);
  return Math.max(wanted, ZSTD_FOOTER_SIZE_MAX);
}

/** The annotations are what the image's author signed, the footer is what other readers see. */
function requireAgreement(known: KnownPlaces, footer: ZstdChunkedFooter): void {
  for (const [what, said, found] of [
    ["TOC", known.manifest, footer.toc],
    ["tar-split", known.tarSplit, footer.tarSplit],
  ] as const) {
    if (said === undefined) continue;
    const isSame =
      said.offset === found?.offset &&
      said.compressedSize === found.compressedSize &&
      said.size === found.size;
    if (!isSame) {
      throw refuseBlob("footer-annotation-mismatch", `annotation and footer disagree about the ${what}`);
    }
  }
}

export async function readExactly(
  options: { readonly read: ReadBlob; readonly signal?: AbortSignal | undefined },
  offset: number,
  length: number,
): Promise<Buffer> {
  if (length === 0) return Buffer.alloc(0);
  const bytes = await options.read({ offset, length, signal: options.signal });
  if (bytes.length === length) return bytes;
  throw dataLoss(`Cannot read layer: want ${length} bytes at ${offset}, got ${bytes.length}`, {
    reason: "short-read",
  });
}
