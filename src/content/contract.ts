import type { Digest } from "../bytes/index.js";

/** Nanoseconds since 1970. */
export type Nanoseconds = bigint;

export type Labels = Readonly<Record<string, string>>;

export interface ContentInfo {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  readonly createdAt: Nanoseconds;
  readonly updatedAt: Nanoseconds;
  readonly labels: Labels;
}

export interface IngestStatus {
  readonly ref: string;
  /** Bytes received. */
  readonly offset: number;
  /** Expected bytes; 0: unknown. */
  readonly total: number;
  readonly expected: Digest | undefined;
  readonly startedAt: Nanoseconds;
  readonly updatedAt: Nanoseconds;
}

export interface UpdateContent {
  readonly digest: Digest;
  readonly labels: Labels;
  /** Field paths `labels`, `labels.<key>`; empty: replace all labels. */
  readonly fieldPaths: readonly string[];
}

export interface OpenIngest {
  readonly ref: string;
  /** Expected bytes; 0: unknown. */
  readonly total: number;
  readonly expected: Digest | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface CommitIngest {
  /** Bytes; 0: not checked. */
  readonly size: number;
  readonly expected: Digest | undefined;
  readonly labels: Labels;
}

/** One open ingest. It holds the lock of its ref until it is committed or closed. */
export interface IngestWriter {
  readonly ref: string;
  /** Bytes received so far. */
  readonly offset: number;
  /** Appends; resolves when the bytes are accepted (not durable before `commit`). Takes the buffer as its own. */
  write(bytes: Uint8Array): Promise<void>;
  status(): IngestStatus;
  /** Of the bytes so far. */
  digest(): Digest;
  /** To 0 only. @throws INVALID_ARGUMENT */
  truncate(size: number): Promise<void>;
  /**
   * Makes the bytes a blob, durable when this resolves. Closes and unlocks in any case; after a wrong size or digest
   * the ingest stays and can be resumed.
   * @throws FAILED_PRECONDITION wrong size or digest, or closed; ALREADY_EXISTS the blob is there already
   */
  commit(request: CommitIngest): Promise<Digest>;
  /** Unlocks and keeps what has arrived. Safe to call twice. */
  close(): Promise<void>;
}

/** Random access to one blob. */
export interface BlobReader extends AsyncDisposable {
  readonly size: number;
  /** Up to `length` bytes from `offset`; fewer only at the end. */
  read(offset: number, length: number): Promise<Uint8Array>;
  close(): Promise<void>;
}

/** containerd's content store (core/content/content.go), with its errors. */
export interface ContentStore {
  /** @throws NOT_FOUND */
  info(digest: Digest): Promise<ContentInfo>;
  /** @throws NOT_FOUND; INVALID_ARGUMENT for another field; FAILED_PRECONDITION where labels are not kept */
  update(request: UpdateContent): Promise<ContentInfo>;
  /** Blobs that match any of the filters; no filter matches all. Fields: `digest`, `size`, `labels.<key>`. */
  walk(filters: readonly string[]): AsyncIterable<ContentInfo>;
  /** @throws NOT_FOUND */
  delete(digest: Digest): Promise<void>;
  /** @throws NOT_FOUND; DATA_LOSS when the bytes are not what the digest says and can't be had again */
  open(digest: Digest, options?: { signal?: AbortSignal | undefined }): Promise<BlobReader>;
  /** @throws NOT_FOUND */
  status(ref: string): Promise<IngestStatus>;
  /** Field of the filters: `ref`. */
  statuses(filters: readonly string[]): Promise<readonly IngestStatus[]>;
  /** @throws NOT_FOUND */
  abort(ref: string): Promise<void>;
  /**
   * Opens or resumes the ingest of a ref.
   * @throws UNAVAILABLE another writer has the ref; ALREADY_EXISTS the expected blob is there; INVALID_ARGUMENT no ref
   */
  writer(request: OpenIngest): Promise<IngestWriter>;
}
