/**
 * Takes in a whole compressed layer in one pass: writes what comes out of it to a file, and brings back digests of both
 * sides and the places where decoding may begin. On four threads of its own, so that it is as fast as the slowest of
 * hashing the blob, inflating, hashing the data, and writing.
 *
 *     const indexer = new binding.StreamIndexer({ codec: "gzip", dataFd, spanSizeBytes, keepWindows: true, dataSizeMax });
 *     try {
 *       for await (const bytes of body) await indexer.push(bytes);
 *       const { blobSha256, dataSha256, spans, windows } = await indexer.end();
 *     } finally {
 *       await indexer.close();
 *     }
 */
export interface StreamIndexerOptions {
  readonly codec: "gzip" | "zstd" | "raw";
  /**
   * A regular file, open for writing; duplicated, and emptied first. Blocks of zeros become holes. Not synced. Without
   * one, `tarHeaders` is all that is kept of the data, and `spans` have zeros in the place of digests of data.
   */
  readonly dataFd: number | undefined;
  /**
   * What a span has at least. gzip: a checkpoint at the first border of a block behind more than this, as SOCI has it, so
   * that a span may be far longer where a stream has long blocks. zstd: a border at the first frame behind this, and
   * spans of exactly this inside longer frames. raw: spans of exactly this.
   */
  readonly spanSizeBytes: number;
  /** gzip: bring back the window of each checkpoint, 32 KiB each. They are held in memory. */
  readonly keepWindows: boolean;
  /**
   * More bytes end in `stream-too-large`. With spanSizeBytes it bounds memory: at most a million spans, or 16,384 with
   * windows (512 MiB); ERR_INVALID_ARG_VALUE when there could be more.
   */
  readonly dataSizeMax: number;
  /** Parts of spans that have digests of their own; at most a million. Absent: none have. */
  readonly leafSizeBytes?: number | undefined;
}

/** Why a stream was refused: `reason` of the error, whose `code` is ERR_STREAM. */
export const streamReasons = {
  truncated: "stream-truncated",
  corrupt: "stream-corrupt",
  /** What stands behind a member of gzip or a frame of zstd begins no other one. */
  trailingGarbage: "stream-trailing-garbage",
  /** CRC-32 of gzip, or the checksum of a zstd frame. */
  checksum: "stream-checksum-mismatch",
  /** ISIZE of gzip. */
  length: "stream-length-mismatch",
  tooLarge: "stream-too-large",
} as const;
export type StreamReason = (typeof streamReasons)[keyof typeof streamReasons];

/** What there is to know of a stream that was read to its end. */
export interface IndexedStream {
  readonly blobSha256: Buffer;
  readonly blobSize: number;
  /** Of a layer: the diffID. */
  readonly dataSha256: Buffer;
  readonly dataSize: number;
  /** For `readSpans()` of src/units. */
  readonly spans: Buffer;
  /** 32 KiB a span: the bytes before it, behind zeros where there are fewer. Empty unless gzip and asked for. */
  readonly windows: Buffer;
  /** Members of gzip, frames of zstd (skippable ones too), 1 for raw. */
  readonly streamCount: number;
  /**
   * What reading the entries of a tar needs of it, as records of offset and length (64 bits, little
   * endian) and so many bytes, in the order of their offsets; at most 64 MiB. What can't be followed is not there.
   */
  readonly tarHeaders: Buffer;
  /**
   * The sha256 of each leaf, 32 bytes each: a span is cut, from its start on, in leaves of `leafSizeBytes`, the last one
   * shorter. Empty without that.
   */
  readonly leafDigests: Buffer;
}

export interface NativeStreamIndexer {
  /**
   * Takes a copy of the next bytes, at most 64 MiB. Resolves when there is room for more: a further call before that
   * throws ERR_INVALID_STATE. Rejects when the stream is refused (ERR_STREAM), a write fails (errno), or with ECANCELED.
   */
  push(bytes: Uint8Array): Promise<void>;
  /** No more bytes follow. Resolves when all is hashed and written. Rejects as push(). */
  end(): Promise<IndexedStream>;
  /** Cancels what still runs. When it resolves, the file is not written any more. Idempotent. */
  close(): Promise<void>;
}
