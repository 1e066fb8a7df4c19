import { type Digest, sha256 } from "../bytes/index.js";
import { assert } from "../errors/index.js";
import {
  TOC_DIGEST_ANNOTATION,
  type TocDialect,
  TocWriter,
  UNCOMPRESSED_SIZE_ANNOTATION,
} from "../estargz/index.js";
import {
  MANIFEST_CHECKSUM_ANNOTATION,
  MANIFEST_POSITION_ANNOTATION,
  MANIFEST_TYPE,
  STARGZ_MANIFEST_CHECKSUM_ANNOTATION,
  STARGZ_MANIFEST_POSITION_ANNOTATION,
  TAR_SPLIT_CHECKSUM_ANNOTATION,
  TAR_SPLIT_POSITION_ANNOTATION,
} from "./annotations.js";
import { zstdFooterOf } from "./footer.js";
import { type FramePlace, SKIPPABLE_HEADER_BYTES, skippableFrame } from "./frames.js";
import { TarSplitWriter } from "./tar-split-writer.js";

export interface PlanZstdChunkedOptions {
  readonly dialect: TocDialect;
  /** Makes one zstd frame with its content's size; the native addon's `compressFrame` does. */
  readonly compress: (bytes: Buffer) => Promise<Buffer>;
}

export interface ZstdChunkedEnd {
  /** What follows the streams in the blob. It decodes to nothing: the diffID is that of the streams. */
  readonly tail: Buffer;
  readonly tocDigest: Digest;
  /** For the layer's descriptor. */
  readonly annotations: Readonly<Record<string, string>>;
}

export interface ZstdChunkedPlan {
  /** Takes the entries and streams of the layer. */
  readonly toc: TocWriter;
  /** Takes the tar without its contents, in the containers dialect only. */
  readonly tarSplit: TarSplitWriter | undefined;
  /** Call it once, after the last stream. `contentSize`: decoded bytes of all streams. @throws as both writers */
  finish(options: { readonly contentSize: number }): Promise<ZstdChunkedEnd>;
}

/**
 * The writing half of zstd:chunked: whoever converts feeds entries, chunks and the lengths of compressed frames, emits
 * the frames, and then what finish() gives. A frame begins at the content of each file and at the chunks in it. In the
 * stargz dialect what follows a content (padding, headers) may end its frame; in the containers dialect it has a frame
 * of its own, because `endOffset` says where a file's content ends.
 */
export function planZstdChunked(options: PlanZstdChunkedOptions): ZstdChunkedPlan {
  const { dialect } = options;
  const toc = new TocWriter({ dialect });
  const tarSplit = dialect === "containers" ? new TarSplitWriter() : undefined;
  return {
    toc,
    tarSplit,
    finish: async ({ contentSize }) =>
      tarSplit === undefined
        ? await stargzEnd({ ...options, toc, contentSize })
        : await containersEnd({ ...options, toc, tarSplit }),
  };
}

interface EndOptions extends PlanZstdChunkedOptions {
  readonly toc: TocWriter;
}

async function stargzEnd(options: EndOptions & { readonly contentSize: number }): Promise<ZstdChunkedEnd> {
  const json = options.toc.finish();
  const frame = await framed(options, json, options.toc.blobLength);
  const tocDigest = sha256(json);
  return {
    tail: Buffer.concat([frame.bytes, zstdFooterOf({ toc: frame.place, tarSplit: undefined })]),
    tocDigest,
    annotations: {
      [TOC_DIGEST_ANNOTATION]: tocDigest,
      [UNCOMPRESSED_SIZE_ANNOTATION]: String(options.contentSize),
      [STARGZ_MANIFEST_CHECKSUM_ANNOTATION]: frame.checksum,
      [STARGZ_MANIFEST_POSITION_ANNOTATION]: `${positionOf(frame.place)}:${MANIFEST_TYPE}`,
    },
  };
}

/** containers/storage refuses a layer that has the annotations of both dialects. */
async function containersEnd(
  options: EndOptions & { readonly tarSplit: TarSplitWriter },
): Promise<ZstdChunkedEnd> {
  const lines = options.tarSplit.finish();
  assert(lines.length > 0, "even an empty tar has its end in the tar-split");
  const packed = await options.compress(lines);
  const json = options.toc.finish({ tarSplitDigest: sha256(packed) });
  const toc = await framed(options, json, options.toc.blobLength);
  const tarSplit = frameOf(packed, lines.length, options.toc.blobLength + toc.bytes.length);
  return {
    tail: Buffer.concat([
      toc.bytes,
      tarSplit.bytes,
      zstdFooterOf({ toc: toc.place, tarSplit: tarSplit.place }),
    ]),
    tocDigest: sha256(json),
    annotations: {
      [MANIFEST_CHECKSUM_ANNOTATION]: toc.checksum,
      [MANIFEST_POSITION_ANNOTATION]: `${positionOf(toc.place)}:${MANIFEST_TYPE}`,
      [TAR_SPLIT_CHECKSUM_ANNOTATION]: tarSplit.checksum,
      [TAR_SPLIT_POSITION_ANNOTATION]: positionOf(tarSplit.place),
    },
  };
}

interface TailFrame {
  readonly bytes: Buffer;
  readonly place: FramePlace;
  readonly checksum: Digest;
}

async function framed(options: EndOptions, content: Buffer, start: number): Promise<TailFrame> {
  return frameOf(await options.compress(content), content.length, start);
}

function frameOf(packed: Buffer, size: number, start: number): TailFrame {
  return {
    bytes: skippableFrame(packed),
    place: { offset: start + SKIPPABLE_HEADER_BYTES, compressedSize: packed.length, size },
    checksum: sha256(packed),
  };
}

function positionOf({ offset, compressedSize, size }: FramePlace): string {
  return `${offset}:${compressedSize}:${size}`;
}
