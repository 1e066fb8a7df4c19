import type { Digest } from "../bytes/index.js";

/**
 * Our own index of one layer, version 1. One flat buffer, little-endian, that is pushed and kept as it is:
 *
 *     header, 128 bytes
 *       0  "lzlifine"         8  u32 version = 1     12  u8 codec (0 raw, 1 gzip, 2 zstd)   13  zeros
 *      16  u64 blob size     24  u64 archive size    32  u32 leaf size       36  u32 spans
 *      40  u32 leaves        44  u32 packed tree     48  u32 tree            52  zeros
 *      56  u64 windows blob  64  sha256 of the layer's blob                  96  sha256 of the windows blob
 *     span, 64 bytes, in the order of the archive, which is also that of the blob
 *       0  u64 archive offset     8  u64 blob offset       16  u32 packed window     20  u32 CRC-32 of the window
 *      24  u8 bits               25  zeros                 32  sha256 of the packed window
 *     leaf, 32 bytes: sha256 of its bytes of the archive
 *     tree: one zstd frame with the headers of the archive, as src/tar reads them (readTarHeaders)
 *
 * A span is decoded by itself, from its blob offset on: gzip from the bit there (`bits` high bits of the first byte are
 * its own, 0: all) with its window, the 32 KiB of the archive before it; zstd from a frame's start; a raw archive is one
 * span. It ends where the next one begins, or with the archive; its last byte may be the next one's first. From its start
 * on it is cut in leaves of `leaf size`, the last one shorter: each has a digest, so that it is served before the span ends.
 *
 * The windows blob has the packed windows one behind the other, in the order of the spans: each is one zstd frame of what
 * the window has behind its leading zeros of the archive's start (32 KiB but near there). Of length 0: the window is zeros.
 */
export const FINE_VERSION = 1;
export const FINE_HEADER_SIZE = 128;
export const FINE_SPAN_SIZE = 64;
export const DIGEST_SIZE = 32;
export const FINE_MAGIC = Buffer.from("lzlifine", "latin1");

export const fineCodecs = ["raw", "gzip", "zstd"] as const;
export type FineCodec = (typeof fineCodecs)[number];

/** Where a window lies in the blob of windows, and what it must be. */
export interface FineWindow {
  readonly offset: number;
  /** 0: the window is zeros. */
  readonly length: number;
  /** CRC-32 of all its 32 KiB. */
  readonly crc: number;
  /** Of the packed bytes. */
  readonly sha256: Buffer;
}

/** Offsets and lengths in bytes. */
export interface FineSpan {
  readonly dataOffset: number;
  readonly dataLength: number;
  readonly blobOffset: number;
  readonly blobLength: number;
  readonly bits: number;
  readonly window: FineWindow;
}

export interface FineTable {
  readonly codec: FineCodec;
  readonly layer: Digest;
  readonly blobSize: number;
  readonly dataSize: number;
  readonly leafSize: number;
  readonly spans: readonly FineSpan[];
  /** DIGEST_SIZE each, in the order of the archive. */
  readonly leaves: Buffer;
  /** One zstd frame. */
  readonly packedTree: Buffer;
  /** Bytes that it decodes to. */
  readonly treeSize: number;
  /** undefined: no span has a window. */
  readonly windows: { readonly digest: Digest; readonly size: number } | undefined;
}
