import { withSignal } from "../async/index.js";
import { type Digest, sha256 } from "../bytes/index.js";
import { dataLoss, type LazuliError } from "../errors/index.js";
import type { FramePlace } from "./frames.js";
import { FRAME_RATIO_FREE_BYTES, FRAME_RATIO_MAX } from "./limits.js";
import { refuseBlob, refuseBlobSize, type ZstdChunkedLimit, type ZstdChunkedReason } from "./refusal.js";

/**
 * Decodes bytes that are exactly one zstd frame into at most `maxSize` bytes, off the JS thread. Rejects with `code`
 * ERR_ZSTD_TOO_LARGE, ERR_ZSTD_TRUNCATED or ERR_ZSTD_CORRUPT. The native addon's `decompressFrame` is one.
 */
export type DecompressFrame = (frame: Uint8Array, maxSize: number) => Promise<Buffer>;

export interface FrameToDecode {
  readonly frame: Buffer;
  readonly place: FramePlace;
  readonly decompress: DecompressFrame;
  /** What the frame must be, compressed. */
  readonly checksums: readonly Digest[];
  /** For messages and reasons. */
  readonly what: "TOC" | "tar-split";
  readonly signal: AbortSignal | undefined;
}

const reasons: Readonly<
  Record<
    FrameToDecode["what"],
    { mismatch: string; malformed: ZstdChunkedReason; tooLarge: ZstdChunkedLimit }
  >
> = {
  TOC: { mismatch: "toc-digest-mismatch", malformed: "toc-zstd-malformed", tooLarge: "toc-too-large" },
  "tar-split": {
    mismatch: "tar-split-digest-mismatch",
    malformed: "tar-split-zstd-malformed",
    tooLarge: "tar-split-too-large",
  },
};

/** Verifies a frame before it is decoded, and decodes it into exactly the size that its footer says. */
export async function decodeFrame(options: FrameToDecode): Promise<Buffer> {
  const { frame, place, what, signal } = options;
  const { malformed, tooLarge } = reasons[what];
  for (const checksum of options.checksums) requireDigest({ bytes: frame, digest: checksum, what });
  if (place.size > Math.max(frame.length * FRAME_RATIO_MAX, FRAME_RATIO_FREE_BYTES)) {
    throw refuseBlobSize(tooLarge, `${frame.length} bytes are to decode to ${place.size}`);
  }
  let bytes: Buffer;
  try {
    bytes = await withSignal(options.decompress(frame, place.size), signal);
  } catch (error) {
    signal?.throwIfAborted();
    throw refusalOf(error, options);
  }
  if (bytes.length === place.size) return bytes;
  throw refuseBlob(malformed, `want a ${what} of ${place.size} bytes, got ${bytes.length}`);
}

function refusalOf(error: unknown, { what, place }: FrameToDecode): unknown {
  const { malformed } = reasons[what];
  switch ((error as NodeJS.ErrnoException).code) {
    case "ERR_ZSTD_TOO_LARGE":
      return refuseBlob(
        malformed,
        `the ${what} decodes to more than the ${place.size} bytes it claims`,
        error,
      );
    case "ERR_ZSTD_TRUNCATED":
    case "ERR_ZSTD_CORRUPT":
      return refuseBlob(malformed, `the ${what} is not exactly one zstd frame`, error);
    default:
      return error;
  }
}

/** @throws DATA_LOSS `toc-digest-mismatch` or `tar-split-digest-mismatch` */
export function requireDigest(options: {
  readonly bytes: Buffer;
  readonly digest: Digest;
  readonly what: FrameToDecode["what"];
}): void {
  const actual = sha256(options.bytes);
  if (actual !== options.digest) throw mismatch(options.what, options.digest, actual);
}

function mismatch(what: FrameToDecode["what"], wanted: Digest, actual: Digest): LazuliError {
  return dataLoss(`Cannot use ${what}: want digest ${wanted}, got ${actual}`, {
    subject: wanted,
    reason: reasons[what].mismatch,
  });
}
