import { type FileHandle, open, rm } from "node:fs/promises";
import { withSignal } from "../async/index.js";
import type { Digest } from "../bytes/index.js";
import type { BlobSource, RangeRequest } from "../registry/index.js";
import { DECODED_PARKED_MS, DECODED_PIECE_BYTES } from "./limits.js";
import { type PullWholeOptions, pullWhole } from "./pull-whole.js";

export interface DecodedSourceOptions extends Omit<PullWholeOptions, "dataPath" | "syncs"> {
  /** Where the archive lies while it is needed: a file that is not there, below a folder that is. */
  readonly path: string;
  /** Bytes of the archive. */
  readonly size: number;
}

/**
 * The archive that a blob decodes to, for units that were lost and can't be decoded by themselves. The first request has
 * all of it pulled and decoded again, verified to its end, into a file without a name; the file goes when nobody has asked
 * for a while. A reader that gives up does not end the pull: the next one needs it as well.
 */
export class DecodedSource implements BlobSource {
  readonly digest: Digest;
  readonly size: number;
  readonly description: string;
  readonly #options: DecodedSourceOptions;
  #archive: Promise<FileHandle> | undefined;
  #readers = 0;
  #isDecoding = false;
  #isDistrusted = false;
  #parked: NodeJS.Timeout | undefined;

  constructor(options: DecodedSourceOptions) {
    this.digest = options.source.digest;
    this.size = options.size;
    this.description = options.source.description;
    this.#options = options;
  }

  async *readRange({ offset, length, signal }: RangeRequest): AsyncGenerator<Buffer> {
    this.#readers += 1;
    clearTimeout(this.#parked);
    try {
      const archive = await withSignal(this.#decoded(), signal);
      for (let done = 0; done < length; ) {
        signal?.throwIfAborted();
        const piece = Buffer.allocUnsafe(Math.min(DECODED_PIECE_BYTES, length - done));
        const { bytesRead } = await archive.read(piece, 0, piece.length, offset + done);
        if (bytesRead === 0) return;
        done += bytesRead;
        yield piece.subarray(0, bytesRead);
      }
    } finally {
      this.#readers -= 1;
      this.#rest();
    }
  }

  /** Which place of the blob they come from is not known. */
  distrust(): void {
    const { source } = this.#options;
    source.distrust({ offset: 0, length: source.size });
    this.#isDistrusted = true;
    this.#rest();
  }

  #decoded(): Promise<FileHandle> {
    if (this.#archive === undefined) {
      const archive = this.#decode();
      this.#archive = archive;
      archive.catch(() => {
        if (this.#archive === archive) this.#archive = undefined;
      });
    }
    return this.#archive;
  }

  async #decode(): Promise<FileHandle> {
    const { path } = this.#options;
    this.#isDecoding = true;
    this.#isDistrusted = false;
    try {
      // A process that was killed may have left one.
      await rm(path, { force: true });
      await pullWhole({ ...this.#options, dataPath: path, syncs: false });
      return await open(path, "r");
    } finally {
      await rm(path, { force: true });
      this.#isDecoding = false;
      this.#rest();
    }
  }

  /** Has the archive dropped in time where nobody reads it and nobody makes it. */
  #rest(): void {
    clearTimeout(this.#parked);
    if (this.#readers > 0 || this.#isDecoding) return;
    if (this.#isDistrusted) void this.#drop();
    else this.#parked = setTimeout(() => void this.#drop(), DECODED_PARKED_MS).unref();
  }

  async #drop(): Promise<void> {
    const archive = this.#archive;
    this.#archive = undefined;
    // Of a pull that failed its readers have heard.
    await (await archive?.catch(() => undefined))?.close();
  }
}
