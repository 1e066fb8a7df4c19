import type { ByteString, Digest } from "../bytes/index.js";
import { failedPrecondition, LazuliError } from "../errors/index.js";
import type { IndexedStream, NativeStreamIndexer } from "../fuse/index.js";
import {
  type EntryType,
  encodeGzipZinfo,
  encodeTarZinfo,
  encodeZtoc,
  hasNoXattrs,
  type ZtocEntry,
} from "../soci/index.js";
import { readTar, readTarHeaders, type TarEntry } from "../tar/index.js";
import { type IndexedSpan, readSpans, WINDOW_SIZE } from "../units/index.js";
import type { ReadLayerOptions } from "./read-layer.js";
import { blobCodec, indexTar, type MakeIndexer } from "./read-layer.js";
import { ScratchFile } from "./scratch-file.js";

export interface BuildZtocOptions extends ReadLayerOptions {
  readonly makeIndexer: MakeIndexer;
  readonly scratchFolder: string;
  readonly spanSizeBytes: number;
  /** Takes the bytes of the blob along. */
  readonly copy?: ScratchFile | undefined;
}

export interface BuiltZtoc {
  readonly bytes: Buffer;
  readonly disablesXattrs: boolean;
}

/** Whoever reads an index of ours sees this in it. */
export const BUILD_TOOL = "lazuli";

/** The indexer takes no more spans with windows: half a gibibyte of them. */
const SPANS_MAX = 16_384;
const BLOCK_BYTES = 512;
const XATTR_PREFIX = "SCHILY.xattr.";

const types: Readonly<Partial<Record<TarEntry["kind"], EntryType>>> = {
  file: "reg",
  directory: "dir",
  symlink: "symlink",
  hardlink: "hardlink",
  character: "char",
  block: "block",
  fifo: "fifo",
};

/** What reading the blob once gives. */
interface LayerPass {
  readonly indexed: IndexedStream;
  readonly entries: ZtocEntry[];
  /** With the two blocks that end it. */
  readonly tarSize: number;
}

/**
 * Reads a layer and writes the zTOC of it. @throws as indexTar() and readTar(); FAILED_PRECONDITION
 * `soci-codec`, `layer-empty`, `layer-entry-sparse`, `layer-entry-unsupported`: SOCI can't have such a layer
 */
export async function buildZtoc(options: BuildZtocOptions): Promise<BuiltZtoc> {
  const { blob, spanSizeBytes } = options;
  const codec = await blobCodec(options);
  if (codec === "zstd") throw refuse("soci-codec", "it is compressed with zstd");
  const { indexed, entries, tarSize } = await readPass(options, codec);
  const spans = readSpans(indexed.spans);
  const isGzip = codec === "gzip";
  const bytes = encodeZtoc({
    buildTool: BUILD_TOOL,
    algorithm: isGzip ? "gzip" : "uncompressed",
    compressedSize: blob.size,
    uncompressedSize: isGzip ? tarSize : blob.size,
    spanDigests: spans.map(({ blobSha256 }) => `sha256:${blobSha256.toString("hex")}` as Digest),
    zinfo: isGzip
      ? gzipZinfo(spans, indexed.windows, spanSizeBytes)
      : encodeTarZinfo({ spanSize: spanSizeBytes, size: blob.size }),
    entries,
  });
  return { bytes, disablesXattrs: hasNoXattrs(entries) };
}

/** Only headers are kept of the tar; where they are not enough, it is read again into a file. */
async function readPass(options: BuildZtocOptions, codec: "gzip" | "raw"): Promise<LayerPass> {
  const indexed = await indexTar({ ...options, indexer: makeLayerIndexer(options, codec, undefined) });
  const { dataSize: size, tarHeaders: headers } = indexed;
  if (indexed.spans.length === 0) throw refuse("layer-empty", "it has no bytes");
  try {
    return { indexed, ...(await collect(readTarHeaders({ size, headers }), size)) };
  } catch (thrown) {
    if (!(thrown instanceof LazuliError) || thrown.reason !== "tar-headers-missing") throw thrown;
  }
  await using data = await ScratchFile.make(options.scratchFolder);
  const indexer = makeLayerIndexer(options, codec, data.fd);
  await indexTar({ ...options, copy: undefined, onBytes: undefined, indexer });
  const { signal } = options;
  const read = async ({ offset, length }: { offset: number; length: number }): Promise<Buffer> =>
    await data.read(offset, length);
  const entries = readTar({ size, read, ...(signal === undefined ? {} : { signal }) });
  return { indexed, ...(await collect(entries, size)) };
}

function makeLayerIndexer(
  { makeIndexer, spanSizeBytes }: BuildZtocOptions,
  codec: "gzip" | "raw",
  dataFd: number | undefined,
): NativeStreamIndexer {
  return makeIndexer({
    codec,
    dataFd,
    spanSizeBytes,
    keepWindows: codec === "gzip",
    dataSizeMax: spanSizeBytes * SPANS_MAX,
  });
}

async function collect(
  from: Iterable<TarEntry> | AsyncIterable<TarEntry>,
  size: number,
): Promise<Pick<LayerPass, "entries" | "tarSize">> {
  const entries: ZtocEntry[] = [];
  let end = 0;
  const add = (entry: TarEntry): void => {
    end = Math.ceil((entry.dataOffset + entry.packedSize) / BLOCK_BYTES) * BLOCK_BYTES;
    // What a global header says changes nothing.
    if (entry.kind !== "global") entries.push(ztocEntry(entry));
  };
  // A turn of the event loop for each entry costs as much as its header.
  if (Symbol.iterator in from) for (const entry of from) add(entry);
  else for await (const entry of from) add(entry);
  return { entries, tarSize: Math.min(size, end + 2 * BLOCK_BYTES) };
}

function gzipZinfo(spans: readonly IndexedSpan[], windows: Buffer, spanSize: number): Buffer {
  return encodeGzipZinfo({
    version: 2,
    spanSize,
    checkpoints: spans.map(({ blobOffset, dataOffset, innerOffset: bits }, index) => ({
      // SOCI counts from the first whole byte.
      blobOffset: bits === 0 ? blobOffset : blobOffset + 1,
      dataOffset,
      bits,
      window: windows.subarray(index * WINDOW_SIZE, (index + 1) * WINDOW_SIZE),
    })),
  });
}

function ztocEntry(entry: TarEntry): ZtocEntry {
  const type = types[entry.kind];
  if (type === undefined)
    throw refuse("layer-entry-unsupported", "it has an entry of a type that is none of a layer");
  if (entry.sparse !== undefined) throw refuse("layer-entry-sparse", "it has a sparse file");
  const { name, dataOffset, size, linkName, mode, uid, gid, userName, groupName, mtime, devMajor, devMinor } =
    entry;
  return {
    ...{ name, type, dataOffset, size, linkName, mode, uid, gid, userName, groupName, mtime },
    deviceMajor: devMajor,
    deviceMinor: devMinor,
    paxRecords: entry.xattrs.map((xattr) => ({
      key: `${XATTR_PREFIX}${xattr.name}` as ByteString,
      value: xattr.value,
    })),
  };
}

function refuse(reason: string, problem: string): Error {
  return failedPrecondition(`Cannot index layer: ${problem}, which SOCI can't have`, { reason });
}
