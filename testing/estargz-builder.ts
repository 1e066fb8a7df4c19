/**
 * Builds eStargz layers for tests, apart from the code under test: what it writes is read by other implementations too.
 *
 *     const image = buildEstargz([{ name: "hello", type: "reg", content: "world" }], { chunkSize: 4096 });
 */
import { gunzipSync, gzipSync } from "node:zlib";
import { type Digest, sha256 } from "../src/bytes/index.js";
import { contentOf, type LayerEntry, modeOf, padding, tarHeader } from "./estargz-tar.js";

export type { LayerEntry } from "./estargz-tar.js";

export type FooterKind = "estargz" | "legacy" | "external";

export interface BuildOptions {
  /** Longest piece of a file in a stream; 4 MiB unless given. */
  readonly chunkSize?: number;
  /** Compressed bytes that a stream must have before the next file gets one of its own; 0 unless given. */
  readonly minChunkSize?: number;
  /** How many of the entries, from the first, stand before the prefetch landmark; 0 writes the no-prefetch one. */
  readonly prioritized?: number;
  /** False leaves the landmarks out. */
  readonly landmarks?: boolean;
  readonly footer?: FooterKind;
  readonly level?: number;
}

/** An entry of a TOC. */
export type TocEntryJson = Record<string, unknown>;

export interface TocJson {
  version: number;
  entries: TocEntryJson[];
}

export interface BuiltLayer {
  readonly blob: Buffer;
  /** Where the TOC or, with an external one, the footer begins. */
  readonly payloadEnd: number;
  readonly toc: TocJson;
  readonly tocJson: Buffer;
  readonly tocDigest: Digest;
  /** Digest of the uncompressed blob. */
  readonly diffId: Digest;
  /** gzip(tar(TOC)) when the footer says that the TOC lies elsewhere. */
  readonly tocBlob: Buffer | undefined;
  readonly footer: FooterKind;
}

const CHUNK_SIZE = 4 * 1024 * 1024;
const PREFETCH_LANDMARK = ".prefetch.landmark";
const NO_PREFETCH_LANDMARK = ".no.prefetch.landmark";
const TRAILER = Buffer.alloc(1024);

export function buildEstargz(entries: readonly LayerEntry[], options: BuildOptions = {}): BuiltLayer {
  const writer = new LayerWriter(options);
  const all = options.landmarks === false ? entries : withLandmark(entries, options.prioritized ?? 0);
  for (const entry of all) writer.write(entry);
  return finishLayer(
    writer.finish(),
    tocBytes({ version: 1, entries: writer.toc }),
    options.footer ?? "estargz",
  );
}

export type TocChange = Buffer | ((toc: TocJson) => unknown);

/**
 * The JSON of another TOC: any bytes, or what `change` makes of the old one, in place or as a new object or as bytes.
 * What else it returns is ignored, so that it may be a call of `push`.
 */
export function changedToc(layer: BuiltLayer, change: TocChange): Buffer {
  if (Buffer.isBuffer(change)) return change;
  const toc = structuredClone(layer.toc);
  const result = change(toc);
  if (Buffer.isBuffer(result)) return result;
  const isDocument = typeof result === "object" && result !== null && !Array.isArray(result);
  return tocBytes(isDocument ? result : toc);
}

/** The same payload under another TOC. */
export function withToc(layer: BuiltLayer, change: TocChange): BuiltLayer {
  const payload = layer.blob.subarray(0, layer.payloadEnd);
  return finishLayer(payload, changedToc(layer, change), layer.footer);
}

/** The same blob with other last bytes. */
export function withFooter(layer: BuiltLayer, footer: Buffer): Buffer {
  return Buffer.concat([
    layer.blob.subarray(0, layer.blob.length - footerBytes(layer.footer, 0).length),
    footer,
  ]);
}

/** The footers of the format's description; `offset` may also be any text of 16 characters. */
export function footerBytes(kind: FooterKind, offset: number | bigint | string): Buffer {
  const hex = typeof offset === "string" ? offset : offset.toString(16).padStart(16, "0");
  const subfield = kind === "external" ? "STARGZEXTERNALTOC" : `${hex}STARGZ`;
  const size = Buffer.alloc(2);
  size.writeUInt16LE(subfield.length);
  const extra = Buffer.concat([
    ...(kind === "legacy" ? [] : [Buffer.from("SG"), size]),
    Buffer.from(subfield, "latin1"),
  ]);
  const extraSize = Buffer.alloc(2);
  extraSize.writeUInt16LE(extra.length);
  return Buffer.concat([
    Buffer.from("1f8b08040000000000ff", "hex"),
    extraSize,
    extra,
    Buffer.from("010000ffff0000000000000000", "hex"),
  ]);
}

/** gzip(tar(stargz.index.json)) with these bytes for the JSON. */
export function tocMember(tocJson: Buffer): Buffer {
  const header = tarHeader({ name: "stargz.index.json", type: "reg", content: tocJson });
  return gzipSync(Buffer.concat([header, tocJson, padding(tocJson.length), TRAILER]), { level: 9 });
}

function finishLayer(payload: Buffer, tocJson: Buffer, footer: FooterKind): BuiltLayer {
  const member = tocMember(tocJson);
  const isExternal = footer === "external";
  const tail = footerBytes(footer, payload.length);
  const blob = Buffer.concat(isExternal ? [payload, tail] : [payload, member, tail]);
  return {
    blob,
    payloadEnd: payload.length,
    toc: parsedOrEmpty(tocJson),
    tocJson,
    tocDigest: sha256(tocJson),
    diffId: sha256(gunzipSync(blob)),
    tocBlob: isExternal ? member : undefined,
    footer,
  };
}

function tocBytes(toc: unknown): Buffer {
  return Buffer.from(JSON.stringify(toc, undefined, "\t"));
}

/** A hostile TOC may be no JSON. */
function parsedOrEmpty(tocJson: Buffer): TocJson {
  try {
    return JSON.parse(tocJson.toString());
  } catch {
    // Then there is nothing in it to edit further.
    return { version: 1, entries: [] };
  }
}

function withLandmark(entries: readonly LayerEntry[], prioritized: number): readonly LayerEntry[] {
  const name = prioritized === 0 ? NO_PREFETCH_LANDMARK : PREFETCH_LANDMARK;
  const landmark: LayerEntry = { name, type: "reg", content: Buffer.from([0x0f]) };
  return [...entries.slice(0, prioritized), landmark, ...entries.slice(prioritized)];
}

/** Writes the tar as gzip streams and keeps the TOC of what it wrote. */
class LayerWriter {
  readonly toc: TocEntryJson[] = [];
  readonly #options: BuildOptions;
  readonly #members: Buffer[] = [];
  #offset = 0;
  #stream: Buffer[] = [];
  #streamSize = 0;

  constructor(options: BuildOptions) {
    this.#options = options;
  }

  write(entry: LayerEntry): void {
    this.#append(tarHeader(entry));
    const fields = commonFields(entry);
    const content = contentOf(entry);
    if (content.length === 0) {
      if (entry.type === "reg") fields.digest = sha256(content);
      this.toc.push(fields);
      return;
    }
    Object.assign(fields, { size: content.length, digest: sha256(content) });
    const chunkSize = this.#options.chunkSize ?? CHUNK_SIZE;
    const isLandmark = entry.name === PREFETCH_LANDMARK || entry.name === NO_PREFETCH_LANDMARK;
    for (let at = 0; at < content.length; at += chunkSize) {
      const piece = content.subarray(at, at + chunkSize);
      if (isLandmark || this.#isStreamLongEnough()) this.#closeStream();
      this.toc.push({
        ...(at === 0 ? fields : { name: entry.name, type: "chunk", chunkOffset: at }),
        ...nonZero({ offset: this.#offset, innerOffset: this.#streamSize }),
        // A piece of full length states it, the rest of a file is 0.
        ...(piece.length === chunkSize ? { chunkSize } : {}),
        chunkDigest: sha256(piece),
      });
      this.#append(piece);
    }
    this.#append(padding(content.length));
  }

  finish(): Buffer {
    this.#closeStream();
    return Buffer.concat(this.#members);
  }

  #isStreamLongEnough(): boolean {
    const least = this.#options.minChunkSize ?? 0;
    return least === 0 || this.#compressed().length >= least;
  }

  #append(bytes: Buffer): void {
    if (bytes.length === 0) return;
    this.#stream.push(bytes);
    this.#streamSize += bytes.length;
  }

  #compressed(): Buffer {
    return gzipSync(Buffer.concat(this.#stream), { level: this.#options.level ?? 9 });
  }

  #closeStream(): void {
    if (this.#streamSize === 0) return;
    const member = this.#compressed();
    this.#members.push(member);
    this.#offset += member.length;
    this.#stream = [];
    this.#streamSize = 0;
  }
}

export function commonFields(entry: LayerEntry): TocEntryJson {
  const xattrs = Object.entries(entry.xattrs ?? {});
  return {
    name: entry.name,
    type: entry.type,
    ...nonZero({
      mode: modeOf(entry),
      uid: entry.uid ?? 0,
      gid: entry.gid ?? 0,
      devMajor: entry.devMajor ?? 0,
      devMinor: entry.devMinor ?? 0,
    }),
    ...(entry.linkName === undefined ? {} : { linkName: entry.linkName }),
    ...(entry.mtime === undefined || entry.mtime === 0
      ? {}
      : { modtime: new Date(entry.mtime * 1000).toISOString().replace(/\.\d+Z$/, "Z") }),
    ...(xattrs.length === 0
      ? {}
      : {
          xattrs: Object.fromEntries(
            xattrs.map(([name, value]) => [name, Buffer.from(value).toString("base64")]),
          ),
        }),
  };
}

function nonZero(numbers: Readonly<Record<string, number>>): TocEntryJson {
  return Object.fromEntries(Object.entries(numbers).filter(([, value]) => value !== 0));
}
