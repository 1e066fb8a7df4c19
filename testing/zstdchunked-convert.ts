import { createHash } from "node:crypto";
import { gzipSync } from "node:zlib";
import { bytesOfText, type Digest, sha256 } from "../src/bytes/index.js";
import { planEstargz, type TocWriter, type WrittenEntry } from "../src/estargz/index.js";
import { Crc64, planZstdChunked, type TarSplitWriter } from "../src/zstdchunked/index.js";
import { contentOf, type LayerEntry, modeOf, padding, tarHeader } from "./estargz-tar.js";
import { zstd } from "./zstdchunked-builder.js";

export type ConvertTarget = "estargz" | "external-estargz" | "stargz" | "containers";

export interface ConvertOptions {
  readonly to: ConvertTarget;
  readonly chunkSize: number;
  /** When the lengths of streams become known: after each stream, or all at the end. */
  readonly lengths: "early" | "late";
}

export interface ConvertedLayer {
  readonly blob: Buffer;
  readonly annotations: Readonly<Record<string, string>>;
  readonly tocDigest: Digest;
  readonly tocBlob: Buffer | undefined;
  /** What the blob is to decode to. */
  readonly tar: Buffer;
}

const TRAILER = Buffer.alloc(1024);

async function gzip(bytes: Buffer): Promise<Buffer> {
  return gzipSync(bytes, { level: 9 });
}

/** Converts as a converter does, with the planners of src; slow and in memory. */
export async function convertLayer(
  entries: readonly LayerEntry[],
  options: ConvertOptions,
): Promise<ConvertedLayer> {
  const { to } = options;
  const isGzip = to === "estargz" || to === "external-estargz";
  const isInside = to === "estargz";
  const gzipPlan = planEstargz({ compress: gzip, isTocExternal: !isInside });
  const zstdPlan = planZstdChunked({
    dialect: to === "containers" ? "containers" : "stargz",
    compress: zstd,
  });
  const plan = isGzip ? gzipPlan : zstdPlan;
  const feed = new Feed({
    ...options,
    compress: isGzip ? gzip : zstd,
    toc: plan.toc,
    tarSplit: isGzip ? undefined : zstdPlan.tarSplit,
  });
  for (const entry of entries) await feed.write(entry);
  const { streams, content } = await feed.end(isInside ? Buffer.alloc(0) : TRAILER);
  const end = {
    tarTail: Buffer.alloc(0),
    tocBlob: undefined,
    ...(await plan.finish({ contentSize: content.length })),
  };
  return {
    blob: Buffer.concat([...streams, end.tail]),
    annotations: end.annotations,
    tocDigest: end.tocDigest,
    tocBlob: end.tocBlob,
    tar: Buffer.concat([content, end.tarTail]),
  };
}

interface FeedOptions extends ConvertOptions {
  readonly compress: (bytes: Buffer) => Promise<Buffer>;
  readonly toc: TocWriter;
  readonly tarSplit: TarSplitWriter | undefined;
}

class Feed {
  readonly #options: FeedOptions;
  readonly #streams: Buffer[] = [];
  readonly #content: Buffer[] = [];
  #open: Buffer[] = [];
  #segment: Buffer[] = [];

  constructor(options: FeedOptions) {
    this.#options = options;
  }

  async write(entry: LayerEntry): Promise<void> {
    const { toc, tarSplit, chunkSize } = this.#options;
    const content = contentOf(entry);
    this.#frame(tarHeader(entry));
    this.#closeSegment();
    const crc64 = new Crc64();
    crc64.update(content);
    const name = bytesOfText(entry.name);
    tarSplit?.addFile({ name, size: content.length, crc64: content.length > 0 ? crc64.digest() : undefined });
    toc.addEntry(writtenEntry(entry, content.length));
    if (content.length === 0) return;
    for (let at = 0; at < content.length; at += chunkSize) {
      await this.#cut();
      const chunk = content.subarray(at, at + chunkSize);
      toc.addChunk({
        stream: this.#streams.length,
        innerOffset: 0,
        length: chunk.length,
        digest: sha256(chunk),
        isZeros: chunk.every((byte) => byte === 0),
      });
      this.#open.push(chunk);
    }
    toc.endFile(`sha256:${createHash("sha256").update(content).digest("hex")}` as Digest);
    if (this.#options.to === "containers") await this.#cut();
    this.#frame(padding(content.length));
  }

  async end(trailer: Buffer): Promise<{ streams: readonly Buffer[]; content: Buffer }> {
    this.#frame(trailer);
    this.#closeSegment();
    await this.#cut();
    if (this.#options.lengths === "late")
      for (const stream of this.#streams) this.#options.toc.addStream(stream.length);
    return { streams: this.#streams, content: Buffer.concat(this.#content) };
  }

  #frame(bytes: Buffer): void {
    this.#open.push(bytes);
    this.#segment.push(bytes);
  }

  #closeSegment(): void {
    this.#options.tarSplit?.addSegment(Buffer.concat(this.#segment));
    this.#segment = [];
  }

  async #cut(): Promise<void> {
    const bytes = Buffer.concat(this.#open);
    this.#open = [];
    if (bytes.length === 0) return;
    const stream = await this.#options.compress(bytes);
    this.#streams.push(stream);
    this.#content.push(bytes);
    if (this.#options.lengths === "early") this.#options.toc.addStream(stream.length);
  }
}

export function writtenEntry(entry: LayerEntry, size: number): WrittenEntry {
  return {
    name: bytesOfText(entry.name),
    type: entry.type,
    mode: modeOf(entry),
    uid: entry.uid ?? 0,
    gid: entry.gid ?? 0,
    mtime: { seconds: BigInt(entry.mtime ?? 0), nanoseconds: 0 },
    xattrs: Object.entries(entry.xattrs ?? {}).map(([name, value]) => ({
      name: bytesOfText(name),
      value: Buffer.from(value),
    })),
    size,
    ...(entry.linkName === undefined ? {} : { linkName: bytesOfText(entry.linkName) }),
    devMajor: entry.devMajor ?? 0,
    devMinor: entry.devMinor ?? 0,
  };
}
