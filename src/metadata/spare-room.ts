import { type FileHandle, open } from "node:fs/promises";
import { readLastPage } from "./file-check.js";
import type { Change } from "./transaction.js";

/** A page that is copied because a row in it changes; a fifth more for the pages above it and for splits. */
const BYTES_PER_CHANGE = 5 * 1024;
/** Pages of LMDB's own tables in one commit. */
const BYTES_PER_COMMIT = 256 * 1024;
const ZEROS = Buffer.alloc(1024 * 1024);

/**
 * Keeps blocks of the disk at the end of the LMDB file, behind the last page in use, so that a commit finds its space
 * taken already. A write that fails within LMDB would end the process: lmdb 3.5.6 then writes past the end of a
 * text (mdb_page_flush), and what else is written to the disk can fill it between a check and the commit.
 */
export class SpareRoom implements AsyncDisposable {
  readonly #file: FileHandle;
  readonly #keptBytes: number;
  #endBytes: number;
  /** What LMDB may use at most by now: looked at again only when it would matter. */
  #usedBytesMax = Number.POSITIVE_INFINITY;

  private constructor(parts: { file: FileHandle; keptBytes: number; endBytes: number }) {
    this.#file = parts.file;
    this.#keptBytes = parts.keptBytes;
    this.#endBytes = parts.endBytes;
  }

  /** `keptBytes`: as much is taken ahead, where the disk has it. */
  static async open(path: string, keptBytes: number): Promise<SpareRoom> {
    const file = await open(path, "r+");
    const { size, blocks } = await file.stat();
    const isWhole = blocks * 512 >= size;
    return new SpareRoom({ file, keptBytes, endBytes: isWhole ? size : 0 });
  }

  /** Takes room for a commit; not while one runs. @throws what the disk answers (ENOSPC) when there is not enough */
  async take(changes: readonly Change[]): Promise<void> {
    const wantedBytes = roomFor(changes);
    this.#usedBytesMax += wantedBytes;
    if (this.#endBytes >= this.#usedBytesMax + this.#keptBytes / 2) return;
    const usedBytes = await readLastPage(this.#file);
    this.#endBytes = Math.max(this.#endBytes, usedBytes);
    const neededBytes = usedBytes + wantedBytes;
    this.#usedBytesMax = neededBytes;
    if (this.#endBytes >= neededBytes + this.#keptBytes / 2) return;
    try {
      await this.#extend(neededBytes + this.#keptBytes);
    } catch (thrown) {
      if (this.#endBytes < neededBytes) throw thrown;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
  }

  async #extend(endBytes: number): Promise<void> {
    while (this.#endBytes < endBytes) {
      const length = Math.min(ZEROS.length, endBytes - this.#endBytes);
      const { bytesWritten } = await this.#file.write(ZEROS, 0, length, this.#endBytes);
      this.#endBytes += bytesWritten;
    }
  }
}

function roomFor(changes: readonly Change[]): number {
  let bytes = BYTES_PER_COMMIT;
  for (const { record } of changes) bytes += BYTES_PER_CHANGE + (record?.length ?? 0);
  return bytes;
}
