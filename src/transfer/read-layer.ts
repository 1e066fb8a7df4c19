import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import { type Digest, digestAlgorithm } from "../bytes/index.js";
import { dataLoss, invalidArgument } from "../errors/index.js";
import type { NativeStreamIndexer, StreamIndexerOptions } from "../fuse/index.js";
import type { BlobSource } from "../registry/index.js";
import type { ScratchFile } from "./scratch-file.js";

export interface ReadLayerOptions {
  readonly blob: BlobSource;
  /** What the config says about the tar. */
  readonly diffId: Digest;
  readonly signal?: AbortSignal | undefined;
  /** Bytes of the blob that were read since the last call. */
  readonly onBytes?: ((bytes: number) => void) | undefined;
}

/** Native code that decodes a blob into a file. */
export type MakeIndexer = (options: StreamIndexerOptions) => NativeStreamIndexer;

export type BlobCodec = "gzip" | "zstd" | "raw";

const GZIP_MAGIC = Buffer.from([0x1f, 0x8b]);
const ZSTD_MAGIC = Buffer.from([0x28, 0xb5, 0x2f, 0xfd]);
/** Of a skippable frame: the last three of its four bytes. */
const SKIPPABLE_MAGIC = Buffer.from([0x2a, 0x4d, 0x18]);
const GUNZIP_PIECE_BYTES = 256 * 1024;

/** Tells by the first bytes, as containerd does: the media types of layers are not always right. */
export async function blobCodec(options: Pick<ReadLayerOptions, "blob" | "signal">): Promise<BlobCodec> {
  const { blob, signal } = options;
  const pieces: Buffer[] = [];
  const range = { offset: 0, length: Math.min(4, blob.size), signal };
  for await (const piece of blob.readRange(range)) pieces.push(piece);
  const start = Buffer.concat(pieces);
  if (start.subarray(0, 2).equals(GZIP_MAGIC)) return "gzip";
  const isSkippable = start.subarray(1, 4).equals(SKIPPABLE_MAGIC) && (start[0]! & 0xf0) === 0x50;
  return start.equals(ZSTD_MAGIC) || isSkippable ? "zstd" : "raw";
}

/**
 * The tar of a layer as it comes in, of gzip or not compressed. Only when it has ended without an error is it what the
 * descriptor and the config say. @throws DATA_LOSS `digest-mismatch`, `diff-id-mismatch`; INVALID_ARGUMENT
 * `layer-corrupt`; as BlobSource.readRange()
 */
export async function* streamTar(
  options: ReadLayerOptions & { readonly codec: "gzip" | "raw" },
): AsyncGenerator<Buffer, void, undefined> {
  const { diffId, codec, blob } = options;
  const hash = createHash(digestAlgorithm(diffId));
  for await (const chunk of codec === "gzip" ? gunzipped(options) : verifiedBlob(options)) {
    hash.update(chunk);
    yield chunk;
  }
  requireDiffId(diffId, `${digestAlgorithm(diffId)}:${hash.digest("hex")}`, blob.digest);
}

async function* gunzipped(options: ReadLayerOptions): AsyncGenerator<Buffer, void, undefined> {
  const { blob, signal } = options;
  const gunzip = createGunzip({ chunkSize: GUNZIP_PIECE_BYTES });
  const source = Readable.from(verifiedBlob(options), { highWaterMark: 2 });
  const done = pipeline(source, gunzip, { ...(signal === undefined ? {} : { signal }) });
  // The reader below gets the same error.
  done.catch(() => undefined);
  try {
    for await (const chunk of gunzip) yield chunk as Buffer;
    await done;
  } catch (thrown) {
    throw corruptOr(thrown, blob.digest);
  }
}

/** The blob's bytes, checked against its digest at the end. */
async function* verifiedBlob(options: ReadLayerOptions): AsyncGenerator<Buffer, void, undefined> {
  const { blob, signal, onBytes } = options;
  const range = { offset: 0, length: blob.size };
  const hash = createHash(digestAlgorithm(blob.digest));
  for await (const piece of blob.readRange({ ...range, signal })) {
    signal?.throwIfAborted();
    hash.update(piece);
    onBytes?.(piece.length);
    yield piece;
  }
  requireDigest(blob, `${digestAlgorithm(blob.digest)}:${hash.digest("hex")}`);
}

/** Feeds a blob to native code that decodes it into a file. @throws as streamTar() */
export async function indexTar(
  options: ReadLayerOptions & {
    readonly indexer: NativeStreamIndexer;
    /** Takes the bytes of the blob along. */
    readonly copy?: ScratchFile | undefined;
  },
): Promise<Awaited<ReturnType<NativeStreamIndexer["end"]>>> {
  const { blob, diffId, indexer, signal, onBytes } = options;
  try {
    for await (const piece of blob.readRange({ offset: 0, length: blob.size, signal })) {
      signal?.throwIfAborted();
      await indexer.push(piece);
      await options.copy?.append(piece);
      onBytes?.(piece.length);
    }
    const indexed = await indexer.end();
    requireDigest(blob, `sha256:${indexed.blobSha256.toString("hex")}`);
    requireDiffId(diffId, `sha256:${indexed.dataSha256.toString("hex")}`, blob.digest);
    return indexed;
  } catch (thrown) {
    throw corruptOr(thrown, blob.digest);
  } finally {
    await indexer.close();
  }
}

function requireDigest(blob: BlobSource, actual: string): void {
  if (actual === blob.digest) return;
  blob.distrust({ offset: 0, length: blob.size });
  throw dataLoss(`Cannot read layer ${blob.digest}: its bytes have the digest ${actual}`, {
    subject: blob.digest,
    reason: "digest-mismatch",
  });
}

function requireDiffId(wanted: Digest, actual: string, layer: Digest): void {
  if (actual === wanted) return;
  throw dataLoss(`Cannot convert layer ${layer}: the config says diff id ${wanted}, its tar has ${actual}`, {
    subject: layer,
    reason: "diff-id-mismatch",
    hint: "The image is not what its config says: do not use it, and tell whoever built it",
  });
}

function corruptOr(thrown: unknown, layer: Digest): unknown {
  const code = (thrown as { code?: unknown } | undefined)?.code;
  const isStream = typeof code === "string" && (code.startsWith("Z_") || code === "ERR_STREAM");
  if (!isStream) return thrown;
  const message = `Cannot read layer ${layer}: ${(thrown as Error).message}`;
  return invalidArgument(message, { subject: layer, reason: "layer-corrupt", cause: thrown });
}
