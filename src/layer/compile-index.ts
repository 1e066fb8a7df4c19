import { createHash, type Hash } from "node:crypto";
import { type FileHandle, open } from "node:fs/promises";
import { type Digest, digestAlgorithm } from "../bytes/index.js";
import { type BlockSize, writeErofs } from "../erofs/index.js";
import { dataLoss, LazuliError, unimplemented } from "../errors/index.js";
import { type CompiledToc, compileToc } from "../estargz/index.js";
import { compileFine } from "../fine/index.js";
import { type CompiledZtoc, compileZtoc } from "../soci/index.js";
import { type CompiledTar, compileTar, readTar, readTarHeaders } from "../tar/index.js";
import type { DirectoryNode } from "../tree/index.js";
import { encodeUnitTable, readSpans, type UnitTable, unitsOfSpans } from "../units/index.js";
import { compileZstdChunked } from "../zstdchunked/index.js";
import type { ArchiveInput, CompileInput, FineInput, SociInput, WholeInput } from "./compile-input.js";
import type { LayerOwner } from "./contract.js";
import type { PrefetchHint, UnitRange } from "./layer-record.js";
import { PREFETCH_BLOB_BYTES_MAX, PREFETCH_RANGES_MAX } from "./limits.js";

/** The files of a layer. */
export interface CompiledIndex {
  readonly units: UnitTable;
  /** WINDOW_SIZE for each unit that needs one; nothing where they are had later. */
  readonly windows: Uint8Array;
  readonly meta: Uint8Array;
  readonly prefetch: PrefetchHint;
  readonly rootOwner: LayerOwner;
}

/** Blocks of the meta image and of the data file, in bytes, where the data file is made of files. */
const PACKED_BLOCK_SIZE = 4096;
/** Where the data file is the archive: files begin at its blocks. */
const ARCHIVE_BLOCK_SIZE = 512;
const NOTHING = new Uint8Array(0);
const HASH_BYTES = 1024 * 1024;
/**
 * Zeros that an archive may have behind its end, where soci's own zTOC ends: tars are padded to 10 KiB by default. One with
 * more is taken for another archive.
 */
const ARCHIVE_PADDING_MAX = 1024 * 1024;

/** Turns what is known of a layer into its files. @throws as the formats */
export async function compileIndex(input: CompileInput): Promise<CompiledIndex> {
  switch (input.format) {
    case "estargz":
      return fromToc(compileToc({ ...input, toc: bufferOf(input.toc), blockSize: PACKED_BLOCK_SIZE }), input);
    case "zstdchunked":
      return fromToc(
        compileZstdChunked({ ...input, toc: bufferOf(input.toc), blockSize: PACKED_BLOCK_SIZE }),
        input,
      );
    case "fine":
      return await fromTable(input);
    case "soci":
      return fromZtoc(input);
    case "whole":
      return await fromArchive(input);
    case "archive":
      await requireDiffId(input);
      return await fromArchive({
        ...input,
        codec: "raw",
        spans: NOTHING,
        windows: NOTHING,
        tarHeaders: NOTHING,
      });
  }
}

function fromToc(compiled: CompiledToc, { blobSize }: { readonly blobSize: number }): CompiledIndex {
  const { root, units, dataSize, prefetch } = compiled;
  const blockSize = PACKED_BLOCK_SIZE;
  return {
    units: encodeUnitTable(units, { dataSize, blobSize, blockSize }),
    windows: NOTHING,
    prefetch,
    ...treeFiles({ root, blockSize, dataSize }),
  };
}

function fromZtoc({ ztoc, digest, blobSize, prefetch }: SociInput): CompiledIndex {
  const compiled = compileZtoc({ ztoc: bufferOf(ztoc), digest, blobSize, prefetch });
  const { root, units, windows, dataSize } = compiled;
  const blockSize = ARCHIVE_BLOCK_SIZE;
  return {
    units: encodeUnitTable(units, { dataSize, blobSize, blockSize, windows }),
    windows,
    prefetch: boundedHint(compiled),
    ...treeFiles({ root, blockSize, dataSize }),
  };
}

async function fromTable({ table, headers, layer, blobSize }: FineInput): Promise<CompiledIndex> {
  const { root, units, dataSize } = await compileFine({
    table: bufferOf(table),
    headers: bufferOf(headers),
    layer,
    blobSize,
  });
  const blockSize = ARCHIVE_BLOCK_SIZE;
  return {
    units: encodeUnitTable(units, { dataSize, blobSize, blockSize }),
    windows: NOTHING,
    prefetch: { kind: "none" },
    ...treeFiles({ root, blockSize, dataSize }),
  };
}

/** What an index says is read first, as far as it is worth fetching ahead. */
function boundedHint({ prefetch, units }: CompiledZtoc): PrefetchHint {
  const ranges: UnitRange[] = [];
  let left = PREFETCH_BLOB_BYTES_MAX;
  for (const { first, last } of prefetch.slice(0, PREFETCH_RANGES_MAX)) {
    let end = first - 1;
    while (end < last && units[end + 1]!.blobLength <= left) {
      end += 1;
      left -= units[end]!.blobLength;
    }
    if (end >= first) ranges.push({ first, last: end });
    if (end < last) break;
  }
  return ranges.length === 0 ? { kind: "unknown" } : { kind: "units", ranges };
}

async function fromArchive(input: Omit<WholeInput, "format">): Promise<CompiledIndex> {
  const { codec, dataPath, dataSize, blobSize } = input;
  const file = await open(dataPath, "r");
  try {
    const { root, needsCopy } = await treeOf(input, file);
    if (needsCopy.some(({ parts }) => parts.length > 0)) {
      throw unimplemented("Cannot show the layer from its archive: it has sparse files", {
        reason: "tar-sparse",
      });
    }
    const { units, windows, isDecoded } = unitsOfSpans({
      codec,
      spans: readSpans(bufferOf(input.spans)),
      windows: bufferOf(input.windows),
    });
    const blockSize = ARCHIVE_BLOCK_SIZE;
    const unitsIn = isDecoded ? dataSize : blobSize;
    return {
      units: encodeUnitTable(units, { dataSize, blobSize: unitsIn, blockSize, windows }),
      windows,
      prefetch: { kind: "none" },
      ...treeFiles({ root, blockSize, dataSize }),
    };
  } finally {
    await file.close();
  }
}

/** From the headers that were kept while the archive came by; from the archive itself where they are not enough. */
async function treeOf(
  { tarHeaders, dataSize: size }: Pick<WholeInput, "tarHeaders" | "dataSize">,
  file: FileHandle,
): Promise<CompiledTar> {
  if (tarHeaders.length > 0) {
    try {
      const entries = readTarHeaders({ size, headers: bufferOf(tarHeaders) });
      return await compileTar({ entries, tarSize: size });
    } catch (thrown) {
      if (!(thrown instanceof LazuliError) || thrown.reason !== "tar-headers-missing") throw thrown;
    }
  }
  const entries = readTar({ size, read: async (range) => await readFrom(file, range) });
  return await compileTar({ entries, tarSize: size });
}

async function requireDiffId({ dataPath, dataSize, diffId }: ArchiveInput): Promise<void> {
  const hash = createHash(digestAlgorithm(diffId));
  const file = await open(dataPath, "r");
  try {
    for (let offset = 0; offset < dataSize; offset += HASH_BYTES) {
      hash.update(await readFrom(file, { offset, length: Math.min(HASH_BYTES, dataSize - offset) }));
    }
  } finally {
    await file.close();
  }
  const actual = `${digestAlgorithm(diffId)}:${hash.copy().digest("hex")}`;
  if (actual === diffId || isPaddedTo(diffId, hash)) return;
  throw dataLoss(`Cannot use the layer: want the diffID ${diffId}, got ${actual}`, {
    reason: "diff-id-mismatch",
    hint: "The image's config, its layer or its index lies: pull the image from elsewhere, or without this index",
  });
}

/** Whether zeros behind the archive lead to the digest. */
function isPaddedTo(diffId: Digest, hash: Hash): boolean {
  const zeros = new Uint8Array(ARCHIVE_BLOCK_SIZE);
  for (let padded = 0; padded < ARCHIVE_PADDING_MAX; padded += zeros.length) {
    hash.update(zeros);
    if (diffId === `${digestAlgorithm(diffId)}:${hash.copy().digest("hex")}`) return true;
  }
  return false;
}

function treeFiles(options: {
  readonly root: DirectoryNode;
  readonly blockSize: BlockSize;
  readonly dataSize: number;
}): Pick<CompiledIndex, "meta" | "rootOwner"> {
  const { root } = options;
  return { meta: writeErofs(options), rootOwner: { uid: root.uid, gid: root.gid } };
}

async function readFrom(file: FileHandle, range: { offset: number; length: number }): Promise<Buffer> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(range.length), 0, range.length, range.offset);
  return buffer.subarray(0, bytesRead);
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
