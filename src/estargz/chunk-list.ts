import type { FileNode } from "../tree/index.js";
import { DATA_BYTES_MAX, STREAM_BYTES_MAX, UNIT_BYTES_MAX } from "./limits.js";
import { refuseToc, refuseTocSize, shown } from "./refusal.js";
import { numberOf, type TocEntry, textOf } from "./toc-fields.js";

/** A file with content: which chunks it has. */
export interface FileChunks {
  readonly node: FileNode;
  readonly first: number;
  count: number;
  /** Where the file's last stream ends in the blob, as its entry says; 0 when it does not. */
  readonly end: number;
}

export interface ChunkListOptions {
  /** Bytes of the blob that can hold content. */
  readonly payloadEnd: number;
  /** Heeds `chunkType` and `endOffset`, which containers/storage writes and stargz-snapshotter does not know. */
  readonly withContainersFields: boolean;
}

const DIGEST_BYTES = 32;
const EMPTY_DIGEST = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const digestShape = /^sha256:[0-9a-f]{64}$/;

interface OpenFile {
  readonly size: number;
  readonly chunks: FileChunks | undefined;
  readonly index: number;
  covered: number;
}

/** All chunks of a TOC in flat arrays. Checks that the chunks of each file are a strict partition of it. */
export class ChunkList {
  readonly files: FileChunks[] = [];
  readonly offsets: number[] = [];
  readonly innerOffsets: number[] = [];
  readonly lengths: number[] = [];
  /** Chunks that hold nothing but zeros, says the TOC: they need not be read. */
  readonly zeros = new Set<number>();
  #digests: Buffer = Buffer.alloc(1024 * DIGEST_BYTES);
  #dataBytes = 0;
  #open: OpenFile | undefined;
  readonly #payloadEnd: number;
  readonly #withContainersFields: boolean;

  constructor(options: ChunkListOptions) {
    this.#payloadEnd = options.payloadEnd;
    this.#withContainersFields = options.withContainersFields;
  }

  /** Sum of the sizes of all files. */
  get dataBytes(): number {
    return this.#dataBytes;
  }

  digest(chunk: number): Buffer {
    return this.#digests.subarray(chunk * DIGEST_BYTES, (chunk + 1) * DIGEST_BYTES);
  }

  /** Takes an entry of type `reg`, which is the first chunk of its file. */
  openFile(entry: TocEntry, node: FileNode): void {
    const size = numberOf(entry, "size", DATA_BYTES_MAX);
    this.#dataBytes += size;
    if (this.#dataBytes > DATA_BYTES_MAX) {
      throw refuseTocSize("toc-data-too-large", `want at most ${DATA_BYTES_MAX} bytes of files`, entry.index);
    }
    if (size === 0) {
      const digest = textOf(entry, "digest");
      if (digest !== "" && digest !== EMPTY_DIGEST) {
        throw refuseToc("toc-chunk-digest", "an empty file has another digest", entry.index);
      }
      this.#open = { size, chunks: undefined, index: entry.index, covered: 0 };
      return;
    }
    const chunks: FileChunks = { node, first: this.offsets.length, count: 0, end: this.#endOf(entry) };
    this.files.push(chunks);
    this.#open = { size, chunks, index: entry.index, covered: 0 };
    this.#add(entry, this.#open, chunks);
  }

  /** Takes an entry of type `chunk`. */
  addChunk(entry: TocEntry): void {
    const open = this.#open;
    if (open === undefined) throw refuseToc("toc-chunk-orphan", "a chunk follows no file", entry.index);
    if (open.chunks === undefined) {
      throw refuseToc("toc-chunk-partition", "an empty file has a chunk", entry.index);
    }
    this.#add(entry, open, open.chunks);
  }

  /** To be called before each entry that is no chunk, and at the end. */
  closeFile(): void {
    const open = this.#open;
    this.#open = undefined;
    if (open !== undefined && open.covered !== open.size) {
      throw refuseToc(
        "toc-chunk-partition",
        `the chunks hold ${open.covered} of ${open.size} bytes`,
        open.index,
      );
    }
    const end = open?.chunks?.end ?? 0;
    if (open !== undefined && end !== 0 && (end <= this.offsets.at(-1)! || end > this.#payloadEnd)) {
      throw refuseToc("toc-chunk-offset", `the file can't end at ${end} of the blob`, open.index);
    }
  }

  #endOf(entry: TocEntry): number {
    return this.#withContainersFields ? numberOf(entry, "endOffset", Number.MAX_SAFE_INTEGER) : 0;
  }

  #isZeros(entry: TocEntry): boolean {
    const type = this.#withContainersFields ? textOf(entry, "chunkType") : "";
    if (type !== "" && type !== "zeros") {
      throw refuseToc("toc-chunk-type", `the chunk type ${shown(type)} is unknown`, entry.index);
    }
    return type === "zeros";
  }

  #add(entry: TocEntry, open: OpenFile, chunks: FileChunks): void {
    const start = numberOf(entry, "chunkOffset", Number.MAX_SAFE_INTEGER);
    if (start !== open.covered) {
      throw refuseToc(
        "toc-chunk-partition",
        `want a chunk at ${open.covered} of the file, got ${start}`,
        entry.index,
      );
    }
    const left = open.size - open.covered;
    // 0 is the rest of the file; a last chunk may also state its size.
    const length = numberOf(entry, "chunkSize", Number.MAX_SAFE_INTEGER) || left;
    if (length > left || length === 0) {
      throw refuseToc(
        "toc-chunk-partition",
        `want a chunk of 1 to ${left} bytes, got ${length}`,
        entry.index,
      );
    }
    const chunk = this.offsets.length;
    const isZeros = this.#isZeros(entry);
    if (isZeros) this.zeros.add(chunk);
    if (length > UNIT_BYTES_MAX && !isZeros) {
      throw refuseTocSize(
        "toc-unit-too-large",
        `want at most ${UNIT_BYTES_MAX} bytes in a chunk, got ${length}`,
        entry.index,
      );
    }
    this.#addPlace(entry, isZeros ? 0 : length);
    this.lengths.push(length);
    this.#writeDigest(chunk, digestOf(entry, length === open.size), entry.index);
    open.covered += length;
    chunks.count += 1;
  }

  /** `decodedLength`: how much of the stream the chunk needs. */
  #addPlace(entry: TocEntry, decodedLength: number): void {
    const offset = numberOf(entry, "offset", Number.MAX_SAFE_INTEGER);
    const innerOffset = numberOf(entry, "innerOffset", Number.MAX_SAFE_INTEGER);
    // A tar header comes before any content, so only the inside of the first stream can have offset 0.
    if (offset >= this.#payloadEnd || (offset === 0 && innerOffset === 0)) {
      throw refuseToc(
        "toc-chunk-offset",
        `want an offset from 1 to ${this.#payloadEnd - 1}, got ${offset}`,
        entry.index,
      );
    }
    if (innerOffset > STREAM_BYTES_MAX - decodedLength) {
      throw refuseTocSize(
        "toc-stream-too-large",
        `want at most ${STREAM_BYTES_MAX} bytes in a stream, got a chunk of ${decodedLength} at ${innerOffset}`,
        entry.index,
      );
    }
    this.offsets.push(offset);
    this.innerOffsets.push(innerOffset);
  }

  #writeDigest(chunk: number, digest: string, index: number): void {
    if (!digestShape.test(digest)) {
      throw refuseToc("toc-chunk-digest", `want sha256 and lower-case hex, got ${shown(digest)}`, index);
    }
    const at = chunk * DIGEST_BYTES;
    if (at === this.#digests.length) {
      this.#digests = Buffer.concat([this.#digests, Buffer.alloc(this.#digests.length)]);
    }
    this.#digests.write(digest.slice(7), at, "hex");
  }
}

function digestOf(entry: TocEntry, isWholeFile: boolean): string {
  const chunkDigest = textOf(entry, "chunkDigest");
  if (!isWholeFile) return chunkDigest;
  const digest = textOf(entry, "digest");
  if (chunkDigest !== "" && digest !== "" && chunkDigest !== digest) {
    throw refuseToc("toc-chunk-digest", "a file of one chunk has two digests", entry.index);
  }
  return chunkDigest === "" ? digest : chunkDigest;
}
