import { randomBytes } from "node:crypto";
import { type FileHandle, open, unlink } from "node:fs/promises";
import { join } from "node:path";
import { dataLoss } from "../errors/index.js";

const PIECE_BYTES = 1024 * 1024;

/** A file without a name: nothing is left of it once the process has ended, however it ends. */
export class ScratchFile implements AsyncDisposable {
  readonly #file: FileHandle;
  #size = 0;

  private constructor(file: FileHandle) {
    this.#file = file;
  }

  static async make(folder: string): Promise<ScratchFile> {
    const path = join(folder, `.lazuli-${randomBytes(8).toString("hex")}`);
    const file = await open(path, "wx+", 0o600);
    await unlink(path);
    return new ScratchFile(file);
  }

  /** For native code that writes to it in place of append(). */
  get fd(): number {
    return this.#file.fd;
  }

  /** Bytes that append() has written. */
  get size(): number {
    return this.#size;
  }

  async append(bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.length; ) {
      const { bytesWritten } = await this.#file.write(bytes, done, bytes.length - done, this.#size);
      done += bytesWritten;
      this.#size += bytesWritten;
    }
  }

  /** Exactly this range. @throws DATA_LOSS when the file is shorter */
  async read(offset: number, length: number): Promise<Buffer> {
    const bytes = Buffer.allocUnsafe(length);
    for (let done = 0; done < length; ) {
      const { bytesRead } = await this.#file.read(bytes, done, length - done, offset + done);
      if (bytesRead === 0)
        throw dataLoss("Cannot read the scratch file: it ends early", { reason: "scratch-short" });
      done += bytesRead;
    }
    return bytes;
  }

  async *pieces(offset: number, length: number): AsyncIterable<Buffer> {
    for (let done = 0; done < length; done += PIECE_BYTES) {
      yield await this.read(offset + done, Math.min(PIECE_BYTES, length - done));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
  }
}
