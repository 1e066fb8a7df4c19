import type { Digest } from "../bytes/index.js";
import { assert } from "../errors/index.js";
import { ENTRIES_MAX, TOC_JSON_BYTES_MAX } from "./limits.js";
import { refuseTocSize } from "./refusal.js";
import {
  entryJson,
  type PlacedFile,
  type TocDialect,
  type WrittenChunk,
  type WrittenEntry,
} from "./written-entry.js";

interface PendingEntry {
  readonly entry: WrittenEntry;
  readonly chunks: WrittenChunk[];
  digest: Digest | undefined;
}

/** Text that is joined before it becomes bytes. */
const PART_LENGTH = 64 * 1024;

/**
 * Writes the TOC of a layer while the layer is made. Entries come in the order of the tar, streams in the order of the
 * blob; a stream's length may come long after its entries, so that streams can be compressed side by side. Keeps no more
 * than the entries whose streams it still waits for, and the JSON. The same calls make the same bytes.
 *
 *     toc.addEntry(file); toc.addChunk({ stream: 1, … }); toc.endFile(digest);
 *     toc.addStream(lengthOfStream0); toc.addStream(lengthOfStream1);
 */
export class TocWriter {
  readonly #dialect: TocDialect;
  /** Where each stream begins, and where the next one will. */
  readonly #starts: number[] = [0];
  /** In order; only the last may be unfinished. A caller bounds it by the number of streams it has under way. */
  readonly #pending: PendingEntry[] = [];
  #written = 0;
  #lines: string[] = [];
  #linesLength = 0;
  #parts: Buffer[] = [];
  #size = 0;

  constructor(options: { readonly dialect: TocDialect }) {
    this.#dialect = options.dialect;
  }

  /** Bytes of the streams so far. */
  get blobLength(): number {
    return this.#starts.at(-1)!;
  }

  /** A `reg` with content is followed by its chunks and by endFile(). */
  addEntry(entry: WrittenEntry): void {
    const last = this.#pending.at(-1);
    assert(last === undefined || !isOpen(last), "the file before is at its end");
    this.#pending.push({ entry, chunks: [], digest: undefined });
    this.#flush();
  }

  addChunk(chunk: WrittenChunk): void {
    const open = this.#pending.at(-1);
    assert(open !== undefined && isOpen(open), "a chunk belongs to a file");
    open.chunks.push(chunk);
  }

  /** `digest`: sha256 of the whole file. */
  endFile(digest: Digest): void {
    const open = this.#pending.at(-1);
    assert(open !== undefined && isOpen(open) && open.chunks.length > 0, "a file with chunks is open");
    open.digest = digest;
    this.#flush();
  }

  /** The next stream has this many compressed bytes. */
  addStream(compressedLength: number): void {
    this.#starts.push(this.blobLength + compressedLength);
    this.#flush();
  }

  /**
   * The JSON, with the fields of `head` beside version and entries. @throws INVALID_ARGUMENT `toc-name-lossy`, `toc-name`, `toc-time`, like the calls before;
   * RESOURCE_EXHAUSTED `toc-too-large`, `toc-too-many-entries` for what no reader of ours would take
   */
  finish(head: Readonly<Record<string, string>> = {}): Buffer {
    this.#flush();
    assert(this.#pending.length === 0, "every stream was added");
    this.#closePart();
    const before = Buffer.from('{"version":1,"entries":[');
    const rest = JSON.stringify(head).slice(1);
    const after = Buffer.from(rest === "}" ? "]}" : `],${rest}`);
    return Buffer.concat([before, ...this.#parts, after]);
  }

  #flush(): void {
    let done = 0;
    for (const pending of this.#pending) {
      const file = this.#placed(pending);
      if (file === "waits") break;
      const { entry } = pending;
      this.#write(entryJson({ entry, index: this.#written, dialect: this.#dialect, file }));
      done += 1;
    }
    if (done > 0) this.#pending.splice(0, done);
  }

  #placed(pending: PendingEntry): PlacedFile | undefined | "waits" {
    if (isOpen(pending)) return "waits";
    const { chunks, digest } = pending;
    if (digest === undefined) return undefined;
    const end = this.#starts[chunks.at(-1)!.stream + 1];
    if (end === undefined) return "waits";
    return { digest, chunks, offsets: chunks.map(({ stream }) => this.#starts[stream]!), end };
  }

  #write(lines: readonly string[]): void {
    for (const line of lines) {
      this.#lines.push(this.#written === 0 ? line : `,${line}`);
      this.#written += 1;
      this.#linesLength += line.length;
    }
    if (this.#written > ENTRIES_MAX) {
      throw refuseTocSize("toc-too-many-entries", `want at most ${ENTRIES_MAX} entries`);
    }
    if (this.#linesLength >= PART_LENGTH) this.#closePart();
  }

  #closePart(): void {
    const part = Buffer.from(this.#lines.join(""));
    this.#lines = [];
    this.#linesLength = 0;
    this.#parts.push(part);
    this.#size += part.length;
    if (this.#size > TOC_JSON_BYTES_MAX - PART_LENGTH) {
      throw refuseTocSize("toc-too-large", `want at most ${TOC_JSON_BYTES_MAX} bytes of JSON`);
    }
  }
}

/** A file whose chunks are still to come. */
function isOpen({ entry, digest }: PendingEntry): boolean {
  return entry.type === "reg" && (entry.size ?? 0) > 0 && digest === undefined;
}
