import { createHash } from "node:crypto";
import type { FileHandle } from "node:fs/promises";
import { linkSignals } from "../async/index.js";
import { type Digest, digestAlgorithm, parseDigest } from "../bytes/index.js";
import { dataLoss, invalidArgument, LazuliError, resourceExhausted } from "../errors/index.js";
import type { NativeBinding } from "../fuse/index.js";
import { layerType } from "../oci/index.js";
import { chainProcessors, type StreamProcessor } from "../processors/index.js";
import type { ApplyLayer } from "./contract.js";
import { ARCHIVE_BYTES_MAX, PIECE_BYTES, SPAN_BYTES } from "./limits.js";

export interface DecodeBlobOptions extends Pick<ApplyLayer, "layer" | "blob" | "payloads" | "signal"> {
  readonly binding: Pick<NativeBinding, "StreamIndexer">;
  readonly processors: readonly StreamProcessor[];
  /** Gets the archive. */
  readonly file: FileHandle;
}

/** The uncompressed archive. */
export interface DecodedArchive {
  readonly digest: Digest;
  readonly size: number;
}

/** In Docker's plain type, what is compressed has no word for it: containerd looks, and so for all that is compressed. */
const DOCKER_PLAIN = /^application\/vnd\.docker\.image\.rootfs\.(?:foreign\.)?diff\.tar$/;

/**
 * Writes what a blob decodes to into a file. Nothing of it may be used unless this resolves: the blob's digest is
 * compared at its end.
 */
export async function decodeBlob(options: DecodeBlobOptions): Promise<DecodedArchive> {
  const { layer, binding, processors, signal, file } = options;
  const chain = chainProcessors(processors, layer.mediaType);
  using reading = linkSignals([signal]);
  const { digest, size, annotations } = layer;
  const bytes = chain.run({
    digest,
    size,
    annotations,
    bytes: checkedPieces(options),
    signal: reading.signal,
    ...(options.payloads === undefined ? {} : { payloads: options.payloads }),
  });
  const source = bytes[Symbol.asyncIterator]();
  try {
    const first = await source.next();
    const indexer = new binding.StreamIndexer({
      codec: codecOf(chain.mediaType, first.done === true ? undefined : first.value),
      dataFd: file.fd,
      spanSizeBytes: SPAN_BYTES,
      keepWindows: false,
      dataSizeMax: ARCHIVE_BYTES_MAX,
    });
    try {
      for (let next = first; next.done !== true; next = await source.next()) {
        signal.throwIfAborted();
        await indexer.push(next.value);
      }
      const { dataSha256, dataSize } = await indexer.end();
      return { digest: parseDigest(`sha256:${dataSha256.toString("hex")}`), size: dataSize };
    } finally {
      await indexer.close();
    }
  } catch (thrown) {
    throw streamFailure(thrown, digest);
  } finally {
    // A processor that was left may still wait for bytes.
    reading.abort(new DOMException("Nobody reads the rest of the blob", "AbortError"));
    await source.return?.();
  }
}

/** @throws DATA_LOSS `blob-digest-mismatch` behind the last piece */
async function* checkedPieces({ layer, blob, signal }: DecodeBlobOptions): AsyncGenerator<Buffer> {
  const { digest, size } = layer;
  const hash = createHash(digestAlgorithm(digest));
  if (blob.size !== size && size !== 0) {
    throw dataLoss(`Cannot unpack layer ${digest}: want ${size} bytes, got ${blob.size}`, {
      subject: digest,
      reason: "blob-size-mismatch",
    });
  }
  let next: Promise<Uint8Array> | undefined;
  const ask = (offset: number): Promise<Uint8Array> | undefined => {
    if (offset >= blob.size) return undefined;
    const asked = blob.read(offset, Math.min(PIECE_BYTES, blob.size - offset));
    // It is waited for below, unless what comes before it fails.
    asked.catch(() => undefined);
    return asked;
  };
  next = ask(0);
  for (let offset = 0; next !== undefined; ) {
    signal.throwIfAborted();
    const piece = await next;
    if (piece.length === 0) break;
    offset += piece.length;
    next = ask(offset);
    hash.update(piece);
    yield Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength);
  }
  const actual = `${digestAlgorithm(digest)}:${hash.digest("hex")}`;
  if (actual === digest) return;
  throw dataLoss(`Cannot unpack layer ${digest}: its blob has the digest ${actual}`, {
    subject: digest,
    reason: "blob-digest-mismatch",
    hint: "Remove the content, and pull the image again",
  });
}

function codecOf(mediaType: string, first: Buffer | undefined): "gzip" | "zstd" | "raw" {
  const isLooked = DOCKER_PLAIN.test(mediaType) || layerType(mediaType)?.compression !== "none";
  if (!isLooked || first === undefined || first.length < 4) return "raw";
  if (first[0] === 0x1f && first[1] === 0x8b && first[2] === 0x08) return "gzip";
  const magic = first.readUInt32LE(0);
  const isZstd = magic === 0xfd2fb528 || (magic & 0xfffffff0) >>> 0 === 0x184d2a50;
  return isZstd ? "zstd" : "raw";
}

/** What the native indexer refuses; everything else as it is. */
function streamFailure(thrown: unknown, subject: Digest): unknown {
  const { code, reason, message } = thrown as { code?: string; reason?: string; message?: string };
  if (thrown instanceof LazuliError || code !== "ERR_STREAM" || reason === undefined) return thrown;
  const make = reason === "stream-too-large" ? resourceExhausted : invalidArgument;
  return make(`Cannot decode layer ${subject}: ${message}`, { subject, reason });
}
