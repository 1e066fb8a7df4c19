import { type Digest, digestAlgorithm, parseDigest, sha256 } from "../../src/bytes/index.js";
import type {
  BlobReader,
  ContentInfo,
  ContentStore,
  IngestStatus,
  IngestWriter,
  OpenIngest,
} from "../../src/content/contract.js";
import {
  alreadyExists,
  failedPrecondition,
  invalidArgument,
  notFound,
  unavailable,
} from "../../src/errors/index.js";
import { parseFilters } from "../../src/filters/index.js";
import { type Algorithm, digestOf } from "./suite-rig.js";

interface Ingest {
  bytes: Buffer;
  status: IngestStatus;
}

interface Blob {
  readonly bytes: Buffer;
  info: ContentInfo;
}

/** A content store in memory that says what is open: for tests of what lies between a store and its clients. */
export class MemoryStore implements ContentStore {
  readonly blobs = new Map<Digest, Blob>();
  readonly ingests = new Map<string, Ingest>();
  /** Refs that have a writer. */
  readonly locked = new Set<string>();
  /** Readers that nobody has closed. */
  openReaders = 0;
  readonly now: () => bigint;

  constructor({ now }: { readonly now: () => bigint }) {
    this.now = now;
  }

  async info(digest: Digest): Promise<ContentInfo> {
    return this.#blob(digest).info;
  }

  async update({ digest, labels, fieldPaths }: Parameters<ContentStore["update"]>[0]): Promise<ContentInfo> {
    const blob = this.#blob(digest);
    let next: Record<string, string> = { ...blob.info.labels };
    if (fieldPaths.length === 0) next = { ...labels };
    for (const path of fieldPaths) {
      const key = path.slice("labels.".length);
      if (path === "labels") next = { ...labels };
      else if (!path.startsWith("labels.")) throw invalidArgument(`cannot update ${path} field`);
      else if (labels[key] === undefined) delete next[key];
      else next[key] = labels[key];
    }
    blob.info = { ...blob.info, labels: next, updatedAt: this.now() };
    return blob.info;
  }

  async *walk(filters: readonly string[]): AsyncIterable<ContentInfo> {
    const matches = parseFilters(filters);
    for (const { info } of [...this.blobs.values()]) {
      const isMatch = matches(([field, ...rest]) => {
        if (field === "labels") return info.labels[rest.join(".")];
        return field === "digest" ? info.digest : field === "size" ? String(info.size) : undefined;
      });
      if (isMatch) yield info;
    }
  }

  async delete(digest: Digest): Promise<void> {
    this.#blob(digest);
    this.blobs.delete(digest);
  }

  async open(digest: Digest): Promise<BlobReader> {
    const { bytes } = this.#blob(digest);
    let isOpen = true;
    this.openReaders += 1;
    const close = async (): Promise<void> => {
      if (isOpen) this.openReaders -= 1;
      isOpen = false;
    };
    return {
      size: bytes.length,
      read: async (offset, length) => bytes.subarray(offset, offset + length),
      close,
      [Symbol.asyncDispose]: close,
    };
  }

  async status(ref: string): Promise<IngestStatus> {
    return this.#ingest(ref).status;
  }

  async statuses(filters: readonly string[]): Promise<readonly IngestStatus[]> {
    const matches = parseFilters(filters);
    return [...this.ingests.values()]
      .map(({ status }) => status)
      .filter(({ ref }) => matches(([field]) => (field === "ref" ? ref : undefined)));
  }

  async abort(ref: string): Promise<void> {
    this.#ingest(ref);
    this.ingests.delete(ref);
  }

  async writer(request: OpenIngest): Promise<IngestWriter> {
    const { ref, total, expected, signal } = request;
    signal?.throwIfAborted();
    if (ref === "") throw invalidArgument("ref must not be empty");
    if (expected !== undefined && this.blobs.has(expected)) throw alreadyExists(`content ${expected}`);
    if (this.locked.has(ref)) throw unavailable(`ref ${ref} locked`);
    this.locked.add(ref);
    const now = this.now();
    const ingest = this.ingests.get(ref) ?? {
      bytes: Buffer.alloc(0),
      status: { ref, offset: 0, total, expected, startedAt: now, updatedAt: now },
    };
    this.ingests.set(ref, ingest);
    return new MemoryWriter(this, ingest);
  }

  #blob(digest: Digest): Blob {
    const blob = this.blobs.get(parseDigest(digest));
    if (blob === undefined) throw notFound(`content ${digest}`);
    return blob;
  }

  #ingest(ref: string): Ingest {
    const ingest = this.ingests.get(ref);
    if (ingest === undefined) throw notFound(`ingest ref ${ref}`);
    return ingest;
  }
}

class MemoryWriter implements IngestWriter {
  readonly #store: MemoryStore;
  readonly #ingest: Ingest;
  #isOpen = true;

  constructor(store: MemoryStore, ingest: Ingest) {
    this.#store = store;
    this.#ingest = ingest;
  }

  get ref(): string {
    return this.#ingest.status.ref;
  }

  get offset(): number {
    return this.#ingest.bytes.length;
  }

  status(): IngestStatus {
    return this.#ingest.status;
  }

  digest(): Digest {
    return this.#digestLike(this.#ingest.status.expected);
  }

  async write(bytes: Uint8Array): Promise<void> {
    this.#requireOpen();
    this.#set(Buffer.concat([this.#ingest.bytes, bytes]));
  }

  async truncate(size: number): Promise<void> {
    if (size !== 0) throw invalidArgument("unsupported size");
    this.#set(Buffer.alloc(0));
  }

  async commit({ size, expected, labels }: Parameters<IngestWriter["commit"]>[0]): Promise<Digest> {
    this.#requireOpen();
    await this.close();
    const { bytes } = this.#ingest;
    const digest = this.#digestLike(expected);
    if (size > 0 && size !== bytes.length) throw failedPrecondition(`unexpected commit size ${bytes.length}`);
    if (expected !== undefined && expected !== digest)
      throw failedPrecondition(`unexpected commit digest ${digest}`);
    if (this.#store.ingests.get(this.ref) !== this.#ingest) throw notFound(`ingest ref ${this.ref}`);
    this.#store.ingests.delete(this.ref);
    if (this.#store.blobs.has(digest)) throw alreadyExists(`content ${digest}`);
    const now = this.#store.now();
    const info = { digest, size: bytes.length, createdAt: now, updatedAt: now, labels };
    this.#store.blobs.set(digest, { bytes, info });
    return digest;
  }

  async close(): Promise<void> {
    if (this.#isOpen) this.#store.locked.delete(this.ref);
    this.#isOpen = false;
  }

  #set(bytes: Buffer): void {
    this.#ingest.bytes = bytes;
    const updatedAt = this.#store.now();
    this.#ingest.status = { ...this.#ingest.status, offset: bytes.length, updatedAt };
  }

  #digestLike(model: Digest | undefined): Digest {
    const { bytes } = this.#ingest;
    return model === undefined ? sha256(bytes) : digestOf(bytes, digestAlgorithm(model) as Algorithm);
  }

  #requireOpen(): void {
    if (!this.#isOpen) throw failedPrecondition("cannot use a closed writer");
  }
}
