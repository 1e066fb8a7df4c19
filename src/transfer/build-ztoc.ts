import type { ByteString, Digest } from "../bytes/index.js";
import { failedPrecondition } from "../errors/index.js";
import {
  type EntryType,
  encodeGzipZinfo,
  encodeTarZinfo,
  encodeZtoc,
  hasNoXattrs,
  type ZtocEntry,
} from "../soci/index.js";
import { readTar, type TarEntry } from "../tar/index.js";
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

/**
 * Reads a layer once and writes the zTOC of it. @throws as indexTar() and readTar(); FAILED_PRECONDITION
 * `soci-codec`, `layer-empty`, `layer-entry-sparse`, `layer-entry-unsupported`: SOCI can't have such a layer
 */
export async function buildZtoc(options: BuildZtocOptions): Promise<BuiltZtoc> {
  const { blob, spanSizeBytes } = options;
  const codec = await blobCodec(options);
  if (codec === "zstd") throw refuse("soci-codec", "it is compressed with zstd");
  await using data = await ScratchFile.make(options.scratchFolder);
  const indexer = options.makeIndexer({
    codec,
    dataFd: data.fd,
    spanSizeBytes,
    keepWindows: codec === "gzip",
    dataSizeMax: spanSizeBytes * SPANS_MAX,
  });
  const { dataSize, spans: records, windows } = await indexTar({ ...options, indexer });
  const spans = readSpans(records);
  if (spans.length === 0) throw refuse("layer-empty", "it has no bytes");
  const { entries, tarSize } = await readEntries({ data, dataSize, signal: options.signal });
  const isGzip = codec === "gzip";
  const bytes = encodeZtoc({
    buildTool: BUILD_TOOL,
    algorithm: isGzip ? "gzip" : "uncompressed",
    compressedSize: blob.size,
    uncompressedSize: isGzip ? tarSize : blob.size,
    spanDigests: spans.map(({ blobSha256 }) => `sha256:${blobSha256.toString("hex")}` as Digest),
    zinfo: isGzip
      ? gzipZinfo(spans, windows, spanSizeBytes)
      : encodeTarZinfo({ spanSize: spanSizeBytes, size: blob.size }),
    entries,
  });
  return { bytes, disablesXattrs: hasNoXattrs(entries) };
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

async function readEntries(from: {
  readonly data: ScratchFile;
  readonly dataSize: number;
  readonly signal: AbortSignal | undefined;
}): Promise<{ readonly entries: ZtocEntry[]; readonly tarSize: number }> {
  const { data, dataSize: size, signal } = from;
  const read = async ({ offset, length }: { offset: number; length: number }): Promise<Buffer> =>
    await data.read(offset, length);
  const entries: ZtocEntry[] = [];
  let end = 0;
  for await (const entry of readTar({ size, read, ...(signal === undefined ? {} : { signal }) })) {
    end = Math.ceil((entry.dataOffset + entry.packedSize) / BLOCK_BYTES) * BLOCK_BYTES;
    // What a global header says changes nothing.
    if (entry.kind !== "global") entries.push(ztocEntry(entry));
  }
  return { entries, tarSize: Math.min(size, end + 2 * BLOCK_BYTES) };
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
