import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import type { ErofsBytes } from "../erofs/index.js";
import { dataLoss } from "../errors/index.js";

const PAGE_BYTES = 64 * 1024;
/** 32 MiB stay in memory; when full, all of it is read again as it is needed. */
const PAGES_MAX = 512;

/** A file that is read in pages, synchronously: only off the main thread. */
export class PagedFile implements ErofsBytes, Disposable {
  readonly size: number;
  readonly #file: number;
  readonly #pages = new Map<number, Buffer>();

  /** @throws the system's error */
  constructor(path: string) {
    this.#file = openSync(path, "r");
    this.size = fstatSync(this.#file).size;
  }

  read(offset: number, length: number): Buffer {
    const first = Math.floor(offset / PAGE_BYTES);
    const within = offset - first * PAGE_BYTES;
    if (within + length <= PAGE_BYTES) return this.#page(first).subarray(within, within + length);
    const last = Math.floor((offset + length - 1) / PAGE_BYTES);
    const pages: Buffer[] = [];
    for (let page = first; page <= last; page += 1) pages.push(this.#page(page));
    return Buffer.concat(pages).subarray(within, within + length);
  }

  #page(page: number): Buffer {
    const known = this.#pages.get(page);
    if (known !== undefined) return known;
    const offset = page * PAGE_BYTES;
    const bytes = Buffer.alloc(Math.min(PAGE_BYTES, this.size - offset));
    for (let at = 0; at < bytes.length; ) {
      const count = readSync(this.#file, bytes, at, bytes.length - at, offset + at);
      if (count === 0)
        throw dataLoss("Cannot read meta image: it was cut short", { reason: "meta-image-damaged" });
      at += count;
    }
    if (this.#pages.size >= PAGES_MAX) this.#pages.clear();
    this.#pages.set(page, bytes);
    return bytes;
  }

  [Symbol.dispose](): void {
    closeSync(this.#file);
  }
}
