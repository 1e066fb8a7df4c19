import { dataLoss } from "../errors/index.js";
import type { TarEntry } from "./entry.js";
import { type TarNeed, TarParser } from "./tar-parser.js";

export interface ReadTarOptions {
  /** Bytes of the archive. */
  readonly size: number;
  /** Gives just that range, which lies inside the archive. */
  readonly read: (
    range: { offset: number; length: number },
    options: { signal?: AbortSignal | undefined },
  ) => Promise<Buffer>;
  readonly signal?: AbortSignal;
}

/** One read among small files, which brings their contents along. */
const WINDOW_BYTES = 256 * 1024;
/** One read behind a large file: a header, and with luck those of a few small files. */
const SPARSE_WINDOW_BYTES = 8 * 1024;

/**
 * The entries of an archive that lies somewhere with random access; contents of large files are not read.
 * @throws what TarParser throws, and DATA_LOSS `tar-short-read` if `read` gives less than was asked for
 */
export async function* readTar(options: ReadTarOptions): AsyncGenerator<TarEntry, void, undefined> {
  const { size, signal } = options;
  const parser = new TarParser();
  let window: Buffer = Buffer.alloc(0);
  let windowOffset = 0;
  for (let need = parser.need; need !== undefined; need = parser.need) {
    const end = need.offset + need.length;
    if (end > size) {
      parser.end(size);
      return;
    }
    if (need.offset < windowOffset || end > windowOffset + window.length) {
      signal?.throwIfAborted();
      const length = windowLength(need, { size, knownEnd: windowOffset + window.length });
      window = await options.read({ offset: need.offset, length }, { signal });
      windowOffset = need.offset;
      if (window.length !== length) {
        throw dataLoss(`Cannot read tar: want ${length} bytes at ${need.offset}, got ${window.length}`, {
          reason: "tar-short-read",
        });
      }
    }
    const start = need.offset - windowOffset;
    const entry = parser.step(window.subarray(start, start + need.length));
    if (entry !== undefined) yield entry;
  }
}

function windowLength(need: TarNeed, known: { size: number; knownEnd: number }): number {
  const wanted = need.offset - known.knownEnd > WINDOW_BYTES / 2 ? SPARSE_WINDOW_BYTES : WINDOW_BYTES;
  return Math.min(Math.max(need.length, wanted), known.size - need.offset);
}
