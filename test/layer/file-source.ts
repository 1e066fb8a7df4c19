import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import type { Digest } from "../../src/bytes/index.js";
import type { BlobSource, RangeRequest } from "../../src/registry/index.js";

const PIECE_BYTES = 1024 * 1024;

/** A blob in a file, in place of a registry. */
export class FileSource implements BlobSource {
  readonly digest: Digest;
  readonly size: number;
  readonly description: string;
  /** Bytes handed out. */
  fetchedBytes = 0;
  /** Every request fails. */
  isDown = false;

  private constructor(path: string, facts: { readonly digest: Digest; readonly size: number }) {
    this.description = path;
    this.digest = facts.digest;
    this.size = facts.size;
  }

  static async open(path: string): Promise<FileSource> {
    return new FileSource(path, await fileFacts(path));
  }

  async *readRange({ offset, length, signal }: RangeRequest): AsyncGenerator<Buffer> {
    if (this.isDown) throw new Error(`${this.description} is not to be read now`);
    if (length === 0) return;
    const stream = createReadStream(this.description, {
      start: offset,
      end: offset + length - 1,
      highWaterMark: PIECE_BYTES,
      signal,
    });
    for await (const piece of stream) {
      this.fetchedBytes += (piece as Buffer).length;
      yield piece as Buffer;
    }
  }

  distrust(): void {
    throw new Error(`${this.description} is right: nobody should distrust it`);
  }
}

export async function fileFacts(path: string): Promise<{ readonly digest: Digest; readonly size: number }> {
  const hash = createHash("sha256");
  for await (const piece of createReadStream(path, { highWaterMark: PIECE_BYTES }))
    hash.update(piece as Buffer);
  return { digest: `sha256:${hash.digest("hex")}` as Digest, size: (await stat(path)).size };
}
