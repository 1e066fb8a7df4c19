import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import type { FileHandle } from "node:fs/promises";
import { createGzip } from "node:zlib";
import { type Digest, parseDigest } from "../bytes/index.js";
import type { ContentInfo, IngestWriter } from "../content/index.js";
import { LazuliError, unimplemented } from "../errors/index.js";
import type { NativeBinding } from "../fuse/index.js";
import { mediaTypes } from "../oci/index.js";
import type { CompareTrees } from "./contract.js";
import { FRAME_BYTES, PIECE_BYTES, ZSTD_LEVEL } from "./limits.js";

export type NewLayerForm = "tar" | "gzip" | "zstd";

const UNCOMPRESSED = "containerd.io/uncompressed";
const forms: Readonly<Record<string, NewLayerForm>> = {
  [mediaTypes.ociLayer]: "tar",
  [mediaTypes.ociLayerGzip]: "gzip",
  [mediaTypes.ociLayerZstd]: "zstd",
};

/** @throws UNIMPLEMENTED `media-type-unsupported` */
export function newLayerForm(mediaType: string): NewLayerForm {
  const form = Object.hasOwn(forms, mediaType) ? forms[mediaType] : undefined;
  if (form !== undefined) return form;
  throw unimplemented(`unsupported diff media type: ${mediaType.slice(0, 256)}`, {
    reason: "media-type-unsupported",
  });
}

export interface WriteLayerOptions extends Pick<CompareTrees, "ref" | "labels" | "content" | "signal"> {
  readonly binding: Pick<NativeBinding, "compressFrame">;
  readonly form: NewLayerForm;
  /** The archive. */
  readonly file: FileHandle;
  readonly size: number;
}

/** Compresses an archive into the store. A blob that is there already is fine, and gets the label if it has none. */
export async function writeLayer(options: WriteLayerOptions): Promise<ContentInfo> {
  const { content, signal, form } = options;
  const isOwn = options.ref === "";
  const ref = isOwn ? `${process.hrtime.bigint()}-${randomBytes(3).toString("base64url")}` : options.ref;
  const writer = await content.writer({ ref, total: 0, expected: undefined, signal });
  try {
    if (writer.offset > 0) await writer.truncate(0);
    const uncompressed = await written(writer, options);
    const labels = form === "tar" ? options.labels : { ...options.labels, [UNCOMPRESSED]: uncompressed };
    const digest = writer.digest();
    await writer.commit({ size: 0, expected: digest, labels }).catch((thrown: unknown) => {
      if (LazuliError.from(thrown).code !== "ALREADY_EXISTS") throw thrown;
    });
    const info = await content.info(digest);
    if (form === "tar" || info.labels[UNCOMPRESSED] !== undefined) return info;
    return await content.update({
      digest,
      labels: { [UNCOMPRESSED]: uncompressed },
      fieldPaths: [`labels.${UNCOMPRESSED}`],
    });
  } catch (thrown) {
    await writer.close();
    // Nobody knows the name of it.
    if (isOwn) await content.abort(ref).catch(() => undefined);
    throw thrown;
  } finally {
    await writer.close();
  }
}

/** @returns the digest of the archive */
async function written(writer: IngestWriter, options: WriteLayerOptions): Promise<Digest> {
  const hash = createHash("sha256");
  const pieces = piecesOf(options, (piece) => hash.update(piece));
  for await (const piece of compressed(pieces, options)) await writer.write(piece);
  return parseDigest(`sha256:${hash.digest("hex")}`);
}

async function* piecesOf(
  { file, size, signal, form }: WriteLayerOptions,
  onPiece: (piece: Buffer) => void,
): AsyncGenerator<Buffer> {
  const length = form === "zstd" ? FRAME_BYTES : PIECE_BYTES;
  for (let offset = 0; offset < size; ) {
    signal.throwIfAborted();
    const buffer = Buffer.allocUnsafe(Math.min(length, size - offset));
    const { bytesRead } = await file.read(buffer, 0, buffer.length, offset);
    if (bytesRead === 0) break;
    offset += bytesRead;
    const piece = buffer.subarray(0, bytesRead);
    onPiece(piece);
    yield piece;
  }
}

async function* compressed(
  pieces: AsyncIterable<Buffer>,
  { form, binding }: WriteLayerOptions,
): AsyncGenerator<Buffer> {
  if (form === "gzip") {
    yield* gzipped(pieces);
    return;
  }
  for await (const piece of pieces) {
    yield form === "tar" ? piece : await binding.compressFrame(piece, ZSTD_LEVEL);
  }
}

async function* gzipped(pieces: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const gzip = createGzip({ chunkSize: 256 * 1024 });
  const feeding = (async () => {
    for await (const piece of pieces) {
      if (!gzip.write(piece)) await once(gzip, "drain");
    }
    gzip.end();
  })();
  feeding.catch((thrown: Error) => gzip.destroy(thrown));
  yield* gzip as AsyncIterable<Buffer>;
  await feeding;
}
