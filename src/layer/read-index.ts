import { type Digest, sha256 } from "../bytes/index.js";
import { dataLoss, invalidArgument, LazuliError } from "../errors/index.js";
import { openToc, TOC_DIGEST_ANNOTATION } from "../estargz/index.js";
import { parseFineTable } from "../fine/index.js";
import type { BlobSource } from "../registry/index.js";
import { type DecompressFrame, openZstdChunked } from "../zstdchunked/index.js";
import type { CompileInput } from "./compile-input.js";
import type {
  EstargzIndex,
  FineIndex,
  LayerFormat,
  LayerIndexSource,
  SociIndex,
  WholeBlob,
  ZstdChunkedIndex,
} from "./contract.js";
import { fetchedChannel } from "./events.js";
import { readBlobRange } from "./read-blob.js";

/** A way into a blob without all of its bytes. */
export type LazyIndexSource = Exclude<LayerIndexSource, WholeBlob>;

export interface ReadIndex {
  readonly input: CompileInput;
  readonly format: LayerFormat;
  readonly indexDigest: Digest;
  /** Our own table, where the layer's windows are had by it later. */
  readonly table?: Uint8Array;
  /** Compressed bytes that were fetched for it. */
  readonly fetchedBytes: number;
}

type Found = Omit<ReadIndex, "fetchedBytes">;

interface ReadIndexOptions {
  readonly source: BlobSource;
  readonly index: LazyIndexSource;
  readonly decompress: DecompressFrame;
  readonly signal: AbortSignal;
}

/** Counts the bytes that an index costs. */
class IndexBytes {
  readonly #digest: Digest;
  fetched = 0;

  constructor(digest: Digest) {
    this.#digest = digest;
  }

  count(bytes: Buffer): Buffer {
    this.fetched += bytes.length;
    fetchedChannel.publish({ digest: this.#digest, priority: "index", bytes: bytes.length });
    return bytes;
  }
}

/**
 * Fetches what says where a blob's files are, from the blob or from where its loader finds it. Wrong bytes are asked for
 * once more, of another mirror where there is one. undefined: there is no index for this blob, which only one that lies
 * beside it can tell. @throws as the formats, and as the source
 */
export async function readIndex(options: ReadIndexOptions): Promise<ReadIndex | undefined> {
  const { source } = options;
  const cost = new IndexBytes(source.digest);
  const attempt = async () => await readOnce(options, cost);
  const read = await attempt().catch(async (thrown: unknown) => {
    if (!(thrown instanceof LazuliError) || thrown.code !== "DATA_LOSS") throw thrown;
    source.distrust({ offset: 0, length: source.size });
    return await attempt();
  });
  return read === undefined ? undefined : { ...read, fetchedBytes: cost.fetched };
}

async function readOnce(options: ReadIndexOptions, cost: IndexBytes): Promise<Found | undefined> {
  const { index } = options;
  switch (index.kind) {
    case "estargz":
      return await readEstargz({ ...options, index }, cost).catch(async (thrown: unknown) => {
        if (LazuliError.from(thrown).reason !== "zstd-chunked") throw thrown;
        // One annotation names the TOC of both, and without a media type only the footer tells them apart.
        const annotations = { [TOC_DIGEST_ANNOTATION]: index.tocDigest };
        return await readZstdChunked({ ...options, index: { kind: "zstdchunked", annotations } }, cost);
      });
    case "zstdchunked":
      return await readZstdChunked({ ...options, index }, cost);
    case "fine":
      return await readTable({ ...options, index }, cost);
    case "soci":
      return await readZtoc({ ...options, index }, cost);
  }
}

async function readEstargz(
  { source, index, signal }: ReadIndexOptions & { readonly index: EstargzIndex },
  cost: IndexBytes,
): Promise<Found> {
  const { tocDigest, loadExternalToc } = index;
  const { toc, payloadEnd } = await openToc({
    blobSize: source.size,
    read: async (request) => cost.count(await readBlobRange(source, request)),
    tocDigest,
    signal,
    loadExternalToc:
      loadExternalToc === undefined ? undefined : async (load) => cost.count(await loadExternalToc(load)),
  });
  return {
    input: { format: "estargz", toc, payloadEnd, blobSize: source.size },
    format: "estargz",
    indexDigest: tocDigest,
  };
}

async function readZstdChunked(
  { source, index, decompress, signal }: ReadIndexOptions & { readonly index: ZstdChunkedIndex },
  cost: IndexBytes,
): Promise<Found> {
  const { toc, dialect, payloadEnd } = await openZstdChunked({
    blobSize: source.size,
    read: async (request) => cost.count(await readBlobRange(source, request)),
    decompress,
    annotations: index.annotations,
    signal,
  });
  return {
    input: { format: "zstdchunked", toc, dialect, payloadEnd, blobSize: source.size },
    format: "zstdchunked",
    indexDigest: sha256(toc),
  };
}

async function readTable(
  { source, index, decompress, signal }: ReadIndexOptions & { readonly index: FineIndex },
  cost: IndexBytes,
): Promise<Found | undefined> {
  const loaded = await index.load({ signal });
  if (loaded === undefined) return undefined;
  const { digest } = loaded;
  const table = cost.count(loaded.table);
  const { digest: layer, size: blobSize } = source;
  // What is kept of the table is checked against this digest at each start: a wrong one must not get there.
  const actual = sha256(table);
  if (actual !== digest) {
    throw dataLoss(`Cannot use index table: want digest ${digest}, got ${actual}`, {
      subject: layer,
      reason: "fine-digest-mismatch",
    });
  }
  const { packedTree, treeSize, codec } = parseFineTable({ table, layer, blobSize });
  const headers = await decompress(packedTree, treeSize).catch((thrown: NodeJS.ErrnoException) => {
    if (thrown.code?.startsWith("ERR_ZSTD_") !== true) throw thrown;
    throw invalidArgument(
      "Cannot use index table: its tree is not one zstd frame of the size that it names",
      {
        subject: layer,
        reason: "fine-tree",
        cause: thrown,
      },
    );
  });
  return {
    input: { format: "fine", table, headers, layer, blobSize },
    format: "fine",
    indexDigest: digest,
    ...(codec === "gzip" ? { table } : {}),
  };
}

async function readZtoc(
  { source, index, signal }: ReadIndexOptions & { readonly index: SociIndex },
  cost: IndexBytes,
): Promise<Found | undefined> {
  const loaded = await index.load({ signal });
  if (loaded === undefined) return undefined;
  const { digest, prefetch } = loaded;
  return {
    input: { format: "soci", ztoc: cost.count(loaded.ztoc), digest, blobSize: source.size, prefetch },
    format: "soci",
    indexDigest: digest,
  };
}
