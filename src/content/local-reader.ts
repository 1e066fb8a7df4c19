import type { FileHandle } from "node:fs/promises";
import { failedPrecondition, invalidArgument } from "../errors/index.js";
import type { BlobReader } from "./contract.js";
import { fileError } from "./local-files.js";

/** Longest single read. */
const READ_BYTES_MAX = 64 * 1024 * 1024;

/** One open blob. A blob that is deleted meanwhile reads on. */
export class LocalReader implements BlobReader {
  readonly size: number;
  readonly #file: FileHandle;
  readonly #name: string;
  #isOpen = true;

  constructor(options: { readonly file: FileHandle; readonly size: number; readonly name: string }) {
    this.#file = options.file;
    this.size = options.size;
    this.#name = options.name;
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    if (!this.#isOpen) {
      throw failedPrecondition(`Cannot read ${this.#name}: the reader is closed`, { subject: this.#name });
    }
    if (!(offset >= 0 && length >= 0)) {
      throw invalidArgument(`Cannot read ${this.#name}: want a range, got ${length} bytes at ${offset}`, {
        subject: this.#name,
      });
    }
    const wanted = Math.max(0, Math.min(length, this.size - offset, READ_BYTES_MAX));
    const buffer = Buffer.allocUnsafe(wanted);
    let done = 0;
    try {
      while (done < wanted) {
        const { bytesRead } = await this.#file.read(buffer, done, wanted - done, offset + done);
        if (bytesRead === 0) break;
        done += bytesRead;
      }
    } catch (thrown) {
      throw fileError(thrown, "read", this.#name);
    }
    return buffer.subarray(0, done);
  }

  async close(): Promise<void> {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    await this.#file.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
