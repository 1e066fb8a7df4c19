import { createHash, type Hash } from "node:crypto";
import type { Digest } from "../bytes/index.js";
import { assert } from "../errors/index.js";
import type { WrittenEntry } from "../estargz/index.js";
import { ZERO_BLOCK_BYTES, ZeroBlocks } from "./zero-blocks.js";

/** What a TOC learns once the streams of a batch are packed, in order. */
export type TocStep =
  | { readonly kind: "entry"; readonly entry: WrittenEntry }
  | {
      readonly kind: "chunk";
      /** Which of the batch's pieces it is. */
      readonly piece: number;
      readonly stream: number;
      readonly innerOffset: number;
      readonly length: number;
      readonly isZeros: boolean;
    }
  /** Without a digest, that of the file's only chunk. */
  | { readonly kind: "end"; readonly digest: Digest | undefined };

/** Streams that are packed together. */
export interface Batch {
  readonly parts: readonly Buffer[];
  readonly length: number;
  readonly streams: readonly number[];
  readonly pieces: readonly { readonly start: number; readonly length: number }[];
  readonly steps: readonly TocStep[];
}

/** What is sent to a thread at once: small enough to keep several busy, large enough to make a message cheap. */
const BATCH_BYTES = 1024 * 1024;
/** Headers without a content between them are cut into streams of this: one stream of a million links would be held whole. */
const HEADER_RUN_BYTES = 1024 * 1024;

interface OpenChunk {
  readonly piece: { readonly start: number; length: number };
  readonly step: { readonly isZeros: boolean; length: number };
}

export interface StreamCutterOptions {
  readonly chunkSizeBytes: number;
  readonly streamSizeMinBytes: number;
  /** What follows a content begins a stream of its own. */
  readonly cutsBehindContent: boolean;
  /** Zeros in a content are chunks of their own. */
  readonly cutsZeros: boolean;
}

/**
 * Cuts a tar into the streams of a blob: one begins at the content of each file and at each of its chunks. The cuts
 * depend on the tar and the options only.
 */
export class StreamCutter {
  readonly #options: StreamCutterOptions;
  #ready: Batch[] = [];
  #parts: Buffer[] = [];
  #length = 0;
  #streams: number[] = [];
  #pieces: { start: number; length: number }[] = [];
  #steps: TocStep[] = [];
  /** Bytes of the stream that is being made. */
  #open = 0;
  #streamCount = 0;
  #cutsNext = false;
  #fileLeft = 0;
  /** The chunk that is being made: its piece and its step grow with it. */
  #chunk: OpenChunk | undefined;
  #zeroBlocks: ZeroBlocks | undefined;
  #fileHash: Hash | undefined;

  constructor(options: StreamCutterOptions) {
    this.#options = options;
  }

  /** Batches that are whole; each is handed out once. */
  takeBatches(): readonly Batch[] {
    const ready = this.#ready;
    this.#ready = [];
    return ready;
  }

  /** Bytes that are no content. */
  raw(bytes: Buffer): void {
    if (this.#open >= HEADER_RUN_BYTES) this.#cut();
    this.#append(bytes);
  }

  /** With `size` bytes of content, which follow. */
  entry(entry: WrittenEntry, size: number): void {
    assert(this.#fileLeft === 0, "the file before has all its content");
    this.#steps.push({ kind: "entry", entry });
    this.#fileLeft = size;
    const { chunkSizeBytes, cutsZeros } = this.#options;
    this.#zeroBlocks = cutsZeros ? new ZeroBlocks({ sizeBytes: size }) : undefined;
    const aloneMax = cutsZeros ? Math.min(chunkSizeBytes, ZERO_BLOCK_BYTES) : chunkSizeBytes;
    this.#fileHash = size > aloneMax ? createHash("sha256") : undefined;
  }

  content(bytes: Buffer): void {
    assert(bytes.length <= this.#fileLeft, "contents belong to a file");
    if (this.#zeroBlocks === undefined) this.#part(bytes, false);
    else for (const part of this.#zeroBlocks.push(bytes)) this.#part(part.bytes, part.isZeros);
  }

  /** The next content shares no stream with what came before. */
  cutNext(): void {
    this.#cutsNext = true;
  }

  /** No more bytes follow. */
  end(): void {
    this.#cut();
    if (this.#length > 0 || this.#steps.length > 0) this.#closeBatch();
  }

  /** Bytes of a content of which all or none are known to be zeros. */
  #part(bytes: Buffer, isZeros: boolean): void {
    const { chunkSizeBytes } = this.#options;
    for (let at = 0; at < bytes.length; ) {
      let chunk = this.#chunk;
      if (chunk === undefined || chunk.step.isZeros !== isZeros || chunk.step.length === chunkSizeBytes) {
        chunk = this.#beginChunk(isZeros);
      }
      const taken = Math.min(bytes.length - at, chunkSizeBytes - chunk.step.length);
      const piece = bytes.subarray(at, at + taken);
      this.#append(piece);
      this.#fileHash?.update(piece);
      chunk.step.length += taken;
      chunk.piece.length += taken;
      at += taken;
      this.#fileLeft -= taken;
      if (this.#fileLeft === 0) this.#endFile();
    }
  }

  #beginChunk(isZeros: boolean): OpenChunk {
    if (this.#cutsNext || this.#open >= this.#options.streamSizeMinBytes) this.#cut();
    this.#cutsNext = false;
    const piece = { start: this.#length, length: 0 };
    const place = { piece: this.#pieces.push(piece) - 1, stream: this.#streamCount, innerOffset: this.#open };
    const step = { kind: "chunk" as const, ...place, length: 0, isZeros };
    this.#steps.push(step);
    this.#chunk = { piece, step };
    return this.#chunk;
  }

  #endFile(): void {
    const hash = this.#fileHash;
    const digest = hash === undefined ? undefined : (`sha256:${hash.digest("hex")}` as Digest);
    this.#fileHash = undefined;
    this.#chunk = undefined;
    this.#steps.push({ kind: "end", digest });
    if (this.#options.cutsBehindContent) this.#cut();
  }

  #append(bytes: Buffer): void {
    if (bytes.length === 0) return;
    this.#parts.push(bytes);
    this.#length += bytes.length;
    this.#open += bytes.length;
  }

  #cut(): void {
    if (this.#open === 0) return;
    this.#streams.push(this.#open);
    this.#streamCount += 1;
    this.#open = 0;
    if (this.#length >= BATCH_BYTES) this.#closeBatch();
  }

  #closeBatch(): void {
    this.#ready.push({
      parts: this.#parts,
      length: this.#length,
      streams: this.#streams,
      pieces: this.#pieces,
      steps: this.#steps,
    });
    this.#parts = [];
    this.#length = 0;
    this.#streams = [];
    this.#pieces = [];
    this.#steps = [];
  }
}
