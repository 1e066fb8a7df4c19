/**
 * Builds zstd:chunked layers for tests, apart from the code under test.
 *
 *     const layer = await buildZstdChunked([{ name: "hello", type: "reg", content: "world" }], { dialect: "containers" });
 */
import { type Digest, sha256 } from "../src/bytes/index.js";
import { loadBinding } from "../src/fuse/index.js";
import { commonFields, type TocEntryJson, type TocJson } from "./estargz-builder.js";
import { contentOf, type LayerEntry, padding, tarHeader } from "./estargz-tar.js";

export type { LayerEntry } from "./estargz-tar.js";

/** `old-containers` is containers/storage before it had tar-split: its annotations and footer are like stargz's. */
export type BuiltDialect = "stargz" | "containers" | "old-containers";

export interface ZstdBuildOptions {
  readonly dialect: BuiltDialect;
  /** Longest piece of a file in a frame; 4 MiB unless given. */
  readonly chunkSize?: number;
}

/** What stands behind the content of a layer, all of it changeable. */
export interface ZstdTail {
  readonly payload: Buffer;
  readonly toc: TocJson;
  readonly tocJson: Buffer;
  /** The zstd frame with the TOC. */
  readonly tocFrame: Buffer;
  readonly tarSplitLines: Buffer;
  readonly tarSplitFrame: Buffer;
  readonly dialect: BuiltDialect;
}

export interface BuiltZstdLayer extends ZstdTail {
  readonly blob: Buffer;
  readonly payloadEnd: number;
  readonly annotations: Readonly<Record<string, string>>;
  readonly tocDigest: Digest;
  /** What the blob decodes to. */
  readonly tar: Buffer;
  /** The numbers in the footer. */
  readonly footerNumbers: readonly bigint[];
}

const LEVEL = 3;
const CHUNK_SIZE = 4 * 1024 * 1024;
const TRAILER = Buffer.alloc(1024);
/** Frames that are compressed at once. */
const BATCH = 64;

export async function zstd(bytes: Uint8Array): Promise<Buffer> {
  return await loadBinding().compressFrame(bytes, LEVEL);
}

export async function unzstd(frame: Uint8Array, maxSize: number): Promise<Buffer> {
  return await loadBinding().decompressFrame(frame, maxSize);
}

export function skippable(content: Buffer, magic = 0x184d2a50, length = content.length): Buffer {
  const header = Buffer.alloc(8);
  header.writeUInt32LE(magic, 0);
  header.writeUInt32LE(length, 4);
  return Buffer.concat([header, content]);
}

export const magics = { stargz: "476e556c496e5578", containers: "474e556c496e5578" } as const;

export function zstdFooter(numbers: readonly bigint[], magic: string): Buffer {
  const fields = numbers.map((number) => {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64LE(number);
    return bytes;
  });
  return skippable(Buffer.concat([...fields, Buffer.from(magic, "hex")]));
}

export async function buildZstdChunked(
  entries: readonly LayerEntry[],
  options: ZstdBuildOptions,
): Promise<BuiltZstdLayer> {
  const { dialect } = options;
  const isStargz = dialect === "stargz";
  const landmark: LayerEntry = { name: ".no.prefetch.landmark", type: "reg", content: Buffer.from([0x0f]) };
  const cutter = new Cutter(options);
  for (const entry of isStargz ? [landmark, ...entries] : entries) cutter.write(entry);
  // stargz's writer never ends the tar.
  const pieces = cutter.finish(isStargz ? Buffer.alloc(0) : TRAILER);
  const frames: Buffer[] = [];
  for (let at = 0; at < pieces.length; at += BATCH)
    frames.push(...(await Promise.all(pieces.slice(at, at + BATCH).map(zstd))));
  const starts = [0];
  for (const frame of frames) starts.push(starts.at(-1)! + frame.length);
  const resolved = cutter.toc.map(({ offset, endOffset, ...fields }) => ({
    ...fields,
    ...(offset === undefined ? {} : { offset: starts[offset as number] }),
    ...(endOffset === undefined ? {} : { endOffset: starts[endOffset as number] }),
  }));
  const tarSplitLines = Buffer.from(cutter.lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
  return await withTail({
    payload: Buffer.concat(frames),
    toc: { version: 1, entries: resolved },
    tarSplitLines,
    dialect,
    tar: Buffer.concat(pieces),
  });
}

/** Puts TOC, tar-split and footer behind a payload. What is given is not made. */
export async function withTail(
  tail: Pick<ZstdTail, "payload" | "dialect" | "tarSplitLines"> &
    Partial<ZstdTail> & { readonly tar: Buffer; readonly footerNumbers?: readonly bigint[] },
): Promise<BuiltZstdLayer> {
  const { payload, dialect, tarSplitLines } = tail;
  const isLong = dialect === "containers";
  const tarSplitFrame = tail.tarSplitFrame ?? (await zstd(tarSplitLines));
  const toc: TocJson = tail.toc ?? { version: 1, entries: [] };
  const document = isLong ? { ...toc, tarSplitDigest: sha256(tarSplitFrame) } : toc;
  const tocJson = tail.tocJson ?? Buffer.from(JSON.stringify(document));
  const tocFrame = tail.tocFrame ?? (await zstd(tocJson));
  const tocNumbers = [payload.length + 8, tocFrame.length, tocJson.length];
  const splitNumbers = [payload.length + 8 + tocFrame.length + 8, tarSplitFrame.length, tarSplitLines.length];
  const numbers = [...tocNumbers, 1, ...(isLong ? splitNumbers : [])];
  const footerNumbers = tail.footerNumbers ?? numbers.map(BigInt);
  const blob = Buffer.concat([
    payload,
    skippable(tocFrame),
    ...(isLong ? [skippable(tarSplitFrame)] : []),
    zstdFooter(footerNumbers, isLong ? magics.containers : magics.stargz),
  ]);
  const family = isLong ? "io.github.containers.zstd-chunked" : "io.containers.zstd-chunked";
  const annotations = {
    [`${family}.manifest-checksum`]: sha256(tocFrame),
    [`${family}.manifest-position`]: `${tocNumbers.join(":")}:1`,
    ...(dialect === "stargz" ? { "containerd.io/snapshot/stargz/toc.digest": sha256(tocJson) } : {}),
    ...(isLong ? { [`${family}.tarsplit-position`]: splitNumbers.join(":") } : {}),
  };
  return {
    ...{
      payload,
      dialect,
      tarSplitLines,
      tarSplitFrame,
      toc,
      tocJson,
      tocFrame,
      footerNumbers,
      blob,
      annotations,
    },
    payloadEnd: payload.length,
    tocDigest: sha256(tocJson),
    tar: tail.tar,
  };
}

/** Cuts the tar into the pieces that become frames. Offsets in its TOC are numbers of pieces. */
class Cutter {
  readonly toc: TocEntryJson[] = [];
  readonly lines: object[] = [];
  readonly #options: ZstdBuildOptions;
  readonly #pieces: Buffer[] = [];
  #piece: Buffer[] = [];
  #segment: Buffer[] = [];

  constructor(options: ZstdBuildOptions) {
    this.#options = options;
  }

  write(entry: LayerEntry): void {
    const content = contentOf(entry);
    const header = tarHeader(entry);
    this.#piece.push(header);
    this.#segment.push(header);
    this.#closeSegment();
    this.lines.push({
      type: 1,
      name: entry.name,
      ...(content.length === 0 ? { payload: null } : { size: content.length, payload: crc64(content) }),
      position: this.lines.length,
    });
    const fields = commonFields(entry);
    if (content.length === 0) {
      this.toc.push(fields);
      return;
    }
    const first = this.toc.length;
    this.#writeContent(entry, { ...fields, size: content.length, digest: sha256(content) }, content);
    if (this.#options.dialect !== "stargz") {
      this.#cut();
      this.toc[first]!.endOffset = this.#pieces.length;
    }
    const rest = padding(content.length);
    this.#piece.push(rest);
    this.#segment.push(rest);
  }

  finish(trailer: Buffer): readonly Buffer[] {
    this.#piece.push(trailer);
    this.#segment.push(trailer);
    this.#closeSegment();
    this.#cut();
    return this.#pieces;
  }

  #writeContent(entry: LayerEntry, fields: TocEntryJson, content: Buffer): void {
    const chunkSize = this.#options.chunkSize ?? CHUNK_SIZE;
    const knowsZeros = this.#options.dialect !== "stargz";
    for (let at = 0; at < content.length; at += chunkSize) {
      const chunk = content.subarray(at, at + chunkSize);
      this.#cut();
      const isWhole = chunk.length === content.length;
      const isZeros = knowsZeros && !isWhole && chunk.every((byte) => byte === 0);
      this.toc.push({
        ...(at === 0 ? fields : { name: entry.name, type: "chunk", chunkOffset: at }),
        offset: this.#pieces.length,
        ...(isWhole ? {} : { chunkSize: chunk.length, chunkDigest: sha256(chunk) }),
        ...(isZeros ? { chunkType: "zeros" } : {}),
      });
      this.#piece.push(chunk);
    }
  }

  #closeSegment(): void {
    const bytes = Buffer.concat(this.#segment);
    this.#segment = [];
    if (bytes.length > 0)
      this.lines.push({ type: 2, payload: bytes.toString("base64"), position: this.lines.length });
  }

  #cut(): void {
    const piece = Buffer.concat(this.#piece);
    this.#piece = [];
    if (piece.length > 0) this.#pieces.push(piece);
  }
}

const MASK = (1n << 64n) - 1n;

const crcTable = Array.from({ length: 256 }, (_, byte) => {
  let crc = BigInt(byte);
  for (let bit = 0; bit < 8; bit++) crc = (crc & 1n) === 1n ? (crc >> 1n) ^ 0xd800000000000000n : crc >> 1n;
  return crc;
});

function crc64(bytes: Buffer): string {
  let crc = MASK;
  for (const byte of bytes) crc = (crc >> 8n) ^ crcTable[Number(crc & 0xffn) ^ byte]!;
  const digest = Buffer.alloc(8);
  digest.writeBigUInt64BE(crc ^ MASK);
  return digest.toString("base64");
}
