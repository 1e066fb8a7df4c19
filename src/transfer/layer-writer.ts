import { createHash } from "node:crypto";
import type { Digest } from "../bytes/index.js";
import { assert } from "../errors/index.js";
import { planEstargz, type TocWriter } from "../estargz/index.js";
import { planZstdChunked, type TarSplitWriter } from "../zstdchunked/index.js";
import type { LayerOptions } from "./layer-options.js";
import type { Packed, PackPool } from "./pack-pool.js";
import type { PackCodec } from "./pack-worker.js";
import type { ScratchFile } from "./scratch-file.js";
import type { Batch, TocStep } from "./stream-cutter.js";

/** A layer as it is to be pushed. */
export interface WrittenLayer {
  readonly digest: Digest;
  readonly size: number;
  readonly annotations: Readonly<Record<string, string>>;
  /** What follows the tar that was fed in the tar that the blob decodes to. */
  readonly tarTail: Buffer;
  /** The layer of the TOC image, where the TOC lies there. */
  readonly tocBlob: Buffer | undefined;
}

interface LayerPlan {
  readonly toc: TocWriter;
  readonly tarSplit: TarSplitWriter | undefined;
  readonly finish: (options: { readonly contentSize: number }) => Promise<{
    readonly tail: Buffer;
    readonly tarTail?: Buffer;
    readonly tocBlob?: Buffer | undefined;
    readonly annotations: Readonly<Record<string, string>>;
  }>;
}

/** Batches of one layer that are being packed: as many as keep all threads busy while one is written. More wait. */
function windowOf(pool: PackPool): number {
  return pool.workers + 2;
}

/** Packs batches side by side and writes them in their order. */
export class LayerWriter {
  readonly #options: LayerOptions;
  readonly #pool: PackPool;
  readonly #file: ScratchFile;
  readonly #plan: LayerPlan;
  readonly #hash = createHash("sha256");
  readonly #window: { readonly batch: Batch; readonly packed: Promise<Packed> }[] = [];
  #lastChunk: Digest | undefined;

  constructor(parts: {
    readonly options: LayerOptions;
    readonly pool: PackPool;
    readonly file: ScratchFile;
  }) {
    this.#options = parts.options;
    this.#pool = parts.pool;
    this.#file = parts.file;
    const compress = async (bytes: Buffer): Promise<Buffer> => await this.#compressAlone(bytes);
    const { format, dialect, isTocExternal } = parts.options;
    this.#plan =
      format === "zstdchunked"
        ? planZstdChunked({ dialect, compress })
        : { ...planEstargz({ compress, isTocExternal }), tarSplit: undefined };
  }

  get tarSplit(): TarSplitWriter | undefined {
    return this.#plan.tarSplit;
  }

  /** Waits for room among the batches that are being packed. @throws what the TOC's writer and the disk throw */
  async add(batch: Batch): Promise<void> {
    while (this.#window.length >= windowOf(this.#pool)) await this.#writeFirst();
    const packed = this.#pool.pack({
      codec: this.#codec,
      level: this.#options.level,
      bytes: joined(batch),
      streams: batch.streams,
      pieces: batch.pieces,
    });
    // Whoever awaits it later hears of it; a conversion that fails before that needs no second error.
    packed.catch(() => undefined);
    this.#window.push({ batch, packed });
  }

  /** `contentSize`: bytes of the tar that was fed. */
  async finish(contentSize: number): Promise<WrittenLayer> {
    while (this.#window.length > 0) await this.#writeFirst();
    const { tail, annotations, tarTail, tocBlob } = await this.#plan.finish({ contentSize });
    await this.#write(tail);
    return {
      digest: `sha256:${this.#hash.digest("hex")}` as Digest,
      size: this.#file.size,
      annotations,
      tarTail: tarTail ?? Buffer.alloc(0),
      tocBlob,
    };
  }

  get #codec(): PackCodec {
    return this.#options.format === "zstdchunked" ? "zstd" : "gzip";
  }

  async #writeFirst(): Promise<void> {
    const { batch, packed } = this.#window.shift()!;
    const { bytes, lengths, digests } = await packed;
    const { toc } = this.#plan;
    for (const step of batch.steps) this.#tell(step, digests);
    for (const length of lengths) toc.addStream(length);
    await this.#write(bytes);
  }

  #tell(step: TocStep, digests: readonly string[]): void {
    const { toc } = this.#plan;
    if (step.kind === "entry") toc.addEntry(step.entry);
    else if (step.kind === "chunk") {
      const { piece, ...chunk } = step;
      this.#lastChunk = `sha256:${digests[piece]}` as Digest;
      toc.addChunk({ ...chunk, digest: this.#lastChunk });
    } else {
      const digest = step.digest ?? this.#lastChunk;
      assert(digest !== undefined, "a file ends behind its chunks");
      toc.endFile(digest);
    }
  }

  async #write(bytes: Uint8Array): Promise<void> {
    this.#hash.update(bytes);
    await this.#file.append(bytes);
  }

  async #compressAlone(bytes: Buffer): Promise<Buffer> {
    const copy = Buffer.allocUnsafeSlow(bytes.length);
    bytes.copy(copy);
    const request = { codec: this.#codec, level: this.#options.level, streams: [bytes.length], pieces: [] };
    const packed = await this.#pool.pack({ ...request, bytes: copy });
    return Buffer.from(packed.bytes.buffer, packed.bytes.byteOffset, packed.bytes.byteLength);
  }
}

/** In memory of its own, which goes to another thread. */
function joined({ parts, length }: Batch): Buffer {
  const bytes = Buffer.allocUnsafeSlow(length);
  let at = 0;
  for (const part of parts) at += part.copy(bytes, at);
  return bytes;
}
