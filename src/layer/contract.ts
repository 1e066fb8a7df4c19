import type { Digest } from "../bytes/index.js";
import type { BlobSource } from "../registry/index.js";
import type { SpanRange } from "../soci/index.js";

/** How the engine finds its way in a blob. All that comes from callbacks is checked against a digest that stands here. */
export type LayerIndexSource = EstargzIndex | ZstdChunkedIndex | FineIndex | SociIndex | WholeBlob;

export interface EstargzIndex {
  readonly kind: "estargz";
  /** Digest that the TOC must have, also in a zstd:chunked blob of stargz-snapshotter's (annotation `containerd.io/snapshot/stargz/toc.digest`). */
  readonly tocDigest: Digest;
  /**
   * Brings gzip(tar(TOC)) for a blob that keeps its TOC in another image; called only when the footer says so. What it
   * brings is bounded by the loader and checked against `tocDigest`. Absent: such layers are not lazy.
   */
  readonly loadExternalToc?: ((options: LoadOptions) => Promise<Buffer>) | undefined;
}

export interface ZstdChunkedIndex {
  readonly kind: "zstdchunked";
  /** Of the layer's descriptor: they tell the position and the digest of the TOC, in either dialect. */
  readonly annotations: Readonly<Record<string, string>>;
}

/** Our own index, which lies beside the image. */
export interface FineIndex {
  readonly kind: "fine";
  /** Brings the layer's table with the digest that it must have; undefined: the image has no such index, or it none of the layer. */
  readonly load: (options: LoadOptions) => Promise<LoadedTable | undefined>;
  /** As SociIndex has it. */
  readonly diffId: Digest | undefined;
  /** What to do for a layer without a table. */
  readonly otherwise: SociIndex | WholeBlob | undefined;
  /** As SociIndex has it. */
  readonly isSmall?: boolean;
}

export interface LoadedTable {
  readonly table: Buffer;
  readonly digest: Digest;
}

export interface SociIndex {
  readonly kind: "soci";
  /** Brings the layer's zTOC with the digest that it must have; undefined: the image's index has none for it. */
  readonly load: (options: LoadOptions) => Promise<LoadedZtoc | undefined>;
  /**
   * Digest that the uncompressed archive must have, checked with its tree as soon as all of it is here; undefined: nobody
   * knows it.
   */
  readonly diffId: Digest | undefined;
  /** What to do for a layer without a zTOC. */
  readonly otherwise: WholeBlob | undefined;
  /** Whether it is for its few bytes that there is nothing else to do. Absent: no. */
  readonly isSmall?: boolean;
}

export interface LoadedZtoc {
  readonly ztoc: Buffer;
  readonly digest: Digest;
  /** Spans that are read first, where the image's index says so. */
  readonly prefetch?: readonly SpanRange[] | undefined;
}

/** No index: the blob is fetched as a whole, once, and what is learnt on the way makes it lazy afterwards. */
export interface WholeBlob {
  readonly kind: "whole";
  /** Digest that the uncompressed archive must have; undefined: nobody knows it. */
  readonly diffId: Digest | undefined;
  /**
   * The engine's stream processors have to make a layer of the blob, by its media type. `annotations` are those of its
   * descriptor; only `org.opencontainers.image.enc.*` are kept. undefined: it is a layer.
   */
  readonly processing?: { readonly annotations: Readonly<Record<string, string>> } | undefined;
}

export interface LoadOptions {
  readonly signal?: AbortSignal | undefined;
}

/** What is asked of the engine for one layer of an image. */
export interface LayerRequest {
  /** Digest of the compressed blob: the layer's name in the engine. */
  readonly digest: Digest;
  readonly mediaType: string;
  /** undefined: nobody knows a way in; such a layer is refused. */
  readonly index: LayerIndexSource | undefined;
  /** Opens the blob at its registry; called only when bytes are really needed. */
  readonly openSource: (options: LoadOptions) => Promise<BlobSource>;
  /** What it takes to open the source again after a restart. */
  readonly origin: LayerOrigin;
}

/** What a layer's index was made from; `gzip`, `zstd` and `tar`: from the whole blob. */
export type LayerFormat = "estargz" | "zstdchunked" | "fine" | "soci" | "gzip" | "zstd" | "tar";

/** Where a layer came from, kept on disk. Never a secret: credentials are found at use. */
export interface LayerOrigin {
  /** Image reference, e.g. `registry.example/library/python:3.12`. */
  readonly reference: string;
  /** Bytes of the blob, where the descriptor told. */
  readonly size: number | undefined;
}

export interface LayerStatus {
  readonly digest: Digest;
  readonly number: number;
  readonly format: LayerFormat;
  readonly reference: string;
  /** Compressed bytes of the blob. */
  readonly blobBytes: number;
  /** Decompressed bytes that the units hold when complete, and those that are here. */
  readonly dataBytes: number;
  readonly cachedBytes: number;
  readonly units: number;
  readonly cachedUnits: number;
  /** Compressed bytes had from registries since the start of the process. */
  readonly fetchedBytes: number;
  readonly mountKind: "erofs" | "fuse-tree" | "none";
  readonly complete: boolean;
  /** The last error of a fetch, for people. */
  readonly lastError: string | undefined;
}

/** Bytes and inodes that a layer holds on this node's disk. */
export interface LayerUsage {
  readonly bytes: number;
  readonly inodes: number;
}

/** Owner of a layer's root folder. */
export interface LayerOwner {
  readonly uid: number;
  readonly gid: number;
}

/** The engine as the snapshotter sees it. */
export interface LayerEngine {
  /**
   * Makes the layer ready to be mounted lazily: index, data file, meta image, all durable when it returns. A layer
   * that is already there costs no network. @throws with `reason` set when the layer can't be lazy.
   */
  ensure(request: LayerRequest, options: { signal?: AbortSignal | undefined }): Promise<void>;
  has(digest: Digest): boolean;
  /**
   * The folder where the layer is mounted now, mounting it first if needed. No network. @throws NOT_FOUND `layer-unknown`;
   * UNAVAILABLE; DATA_LOSS `meta-damaged`, after which the layer is unknown unless somebody uses it: ensure() makes it again.
   */
  mountPoint(digest: Digest, options?: { signal?: AbortSignal | undefined }): Promise<string>;
  /** From the layer's index, so that nobody has to look through the mount. No network. @throws NOT_FOUND */
  rootOwner(digest: Digest): Promise<LayerOwner>;
  /** @throws NOT_FOUND */
  status(digest: Digest): LayerStatus;
  list(): readonly LayerStatus[];
  /** @throws NOT_FOUND */
  usage(digest: Digest): Promise<LayerUsage>;
  /** Unmounts and deletes the layer; idempotent. */
  remove(digest: Digest): Promise<void>;
  close(): Promise<void>;
}
