import { open, stat } from "node:fs/promises";
import type { Digest } from "../bytes/index.js";
import { dataLoss } from "../errors/index.js";
import type { BlobSource, RangeRequest } from "../registry/index.js";

const PIECE_BYTES = 1024 * 1024;

export interface FileBlobOptions {
  readonly path: string;
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  /** Where it begins in the file: not 0 in an archive. */
  readonly offset?: number;
}

/** A blob that lies in a file. The file is open only while it is read. @throws DATA_LOSS when the file is too short */
export async function fileBlob({ path, digest, size, offset = 0 }: FileBlobOptions): Promise<BlobSource> {
  const found = (await stat(path)).size;
  if (found < offset + size) {
    throw dataLoss(`Cannot read ${digest}: want ${size} bytes in ${path}, got ${found - offset}`, {
      subject: digest,
      reason: "blob-short",
    });
  }
  return {
    digest,
    size,
    description: path,
    readRange: (request) => readFileRange(path, { ...request, offset: offset + request.offset }),
    distrust: () => undefined,
  };
}

async function* readFileRange(path: string, { offset, length, signal }: RangeRequest): AsyncIterable<Buffer> {
  const file = await open(path, "r");
  try {
    for (let done = 0; done < length; ) {
      signal?.throwIfAborted();
      const piece = Buffer.allocUnsafe(Math.min(PIECE_BYTES, length - done));
      const { bytesRead } = await file.read(piece, 0, piece.length, offset + done);
      if (bytesRead === 0) throw dataLoss(`Cannot read ${path}: it ends early`, { reason: "blob-short" });
      yield piece.subarray(0, bytesRead);
      done += bytesRead;
    }
  } finally {
    await file.close();
  }
}
