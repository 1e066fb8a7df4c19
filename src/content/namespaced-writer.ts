import type { Digest } from "../bytes/index.js";
import { alreadyExists, assert, failedPrecondition, invalidArgument } from "../errors/index.js";
import { contents, ingests } from "../metadata/index.js";
import { failurePoint } from "../observe/index.js";
import type { CommitIngest, IngestStatus, IngestWriter } from "./contract.js";
import {
  checkedLabels,
  hasCode,
  leaseTo,
  type NamespaceContext,
  type NamespacedParts,
  unleaseFrom,
} from "./namespaced-rows.js";

const stored = failurePoint("content.namespaced.stored");
const recorded = failurePoint("content.namespaced.recorded");

/** Bytes of one read when an adopted blob is copied. */
const COPY_BYTES = 1024 * 1024;

/** A blob of the store that the namespace gets without bringing its bytes. */
export interface AdoptedBlob {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
}

export interface NamespacedWriterOptions {
  readonly parts: NamespacedParts;
  readonly context: NamespaceContext;
  readonly ref: string;
  /** The ref in the store. */
  readonly storeRef: string;
  /** The open ingest, or the blob that takes its place until something is written. */
  readonly source: IngestWriter | AdoptedBlob;
  /** Let go of when the writer ends. */
  readonly pins: readonly Disposable[];
}

/** One ingest of a namespace: it commits to the store first and then writes the namespace's row. */
export class NamespacedWriter implements IngestWriter {
  readonly ref: string;
  readonly #parts: NamespacedParts;
  readonly #context: NamespaceContext;
  readonly #storeRef: string;
  readonly #pins: readonly Disposable[];
  readonly #adopted: AdoptedBlob | undefined;
  readonly #startedAt: bigint;
  #inner: IngestWriter | undefined;
  #isOpen = true;

  constructor(options: NamespacedWriterOptions) {
    const { source } = options;
    this.ref = options.ref;
    this.#parts = options.parts;
    this.#context = options.context;
    this.#storeRef = options.storeRef;
    this.#pins = options.pins;
    this.#startedAt = options.parts.now();
    if ("commit" in source) this.#inner = source;
    else this.#adopted = source;
  }

  get offset(): number {
    return this.#inner === undefined ? this.#blob.size : this.#inner.offset;
  }

  async write(bytes: Uint8Array): Promise<void> {
    if (bytes.length === 0) return;
    const inner = this.#inner ?? (await this.#unshare({ isCopied: true }));
    await inner.write(bytes);
  }

  status(): IngestStatus {
    if (this.#inner !== undefined) return { ...this.#inner.status(), ref: this.ref };
    const { digest, size } = this.#blob;
    const times = { startedAt: this.#startedAt, updatedAt: this.#startedAt };
    return { ref: this.ref, offset: size, total: size, expected: digest, ...times };
  }

  digest(): Digest {
    return this.#inner === undefined ? this.#blob.digest : this.#inner.digest();
  }

  async truncate(size: number): Promise<void> {
    if (this.#inner !== undefined) return await this.#inner.truncate(size);
    if (size !== 0) {
      throw invalidArgument(`Cannot truncate ${JSON.stringify(this.ref)}: want 0 bytes, got ${size}`, {
        subject: this.ref,
        reason: "truncate-size",
      });
    }
    await this.#unshare({ isCopied: false });
  }

  async commit(request: CommitIngest): Promise<Digest> {
    if (!this.#isOpen) throw closed(this.ref);
    try {
      const labels = checkedLabels(request.labels);
      if (request.size !== 0 && request.size !== this.offset) {
        throw failedPrecondition(
          `${JSON.stringify(this.ref)} failed size validation: ${this.offset} != ${request.size}`,
          { subject: this.ref, reason: "commit-size" },
        );
      }
      const { expected } = request;
      return await (this.#inner === undefined
        ? this.#commitAdopted({ expected, labels })
        : this.#commitInner(this.#inner, { expected, labels }));
    } finally {
      await this.close();
    }
  }

  async close(): Promise<void> {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    try {
      await this.#inner?.close();
    } finally {
      for (const pin of this.#pins) pin[Symbol.dispose]();
    }
  }

  get #blob(): AdoptedBlob {
    assert(this.#adopted !== undefined, "a writer without an ingest has adopted a blob");
    return this.#adopted;
  }

  /** Goes on with an ingest of its own, beginning with the adopted bytes or with none. */
  async #unshare(options: { readonly isCopied: boolean }): Promise<IngestWriter> {
    if (!this.#isOpen) throw closed(this.ref);
    const { store } = this.#parts;
    const inner = await store.writer({ ref: this.#storeRef, total: 0, expected: undefined });
    try {
      // An ingest that was left under this ref before the blob came is not what the blob begins with.
      if (inner.offset > 0) await inner.truncate(0);
      if (options.isCopied) {
        await using reader = await store.open(this.#blob.digest);
        while (inner.offset < reader.size) await inner.write(await reader.read(inner.offset, COPY_BYTES));
      }
    } catch (thrown) {
      await inner.close();
      throw thrown;
    }
    this.#inner = inner;
    return inner;
  }

  async #commitAdopted(request: Omit<CommitIngest, "size">): Promise<Digest> {
    const { digest, size } = this.#blob;
    if (request.expected !== undefined && request.expected !== digest) {
      throw failedPrecondition(`${JSON.stringify(this.ref)} unexpected digest`, {
        subject: this.ref,
        reason: "commit-digest",
      });
    }
    return await this.#record({ digest, size, labels: request.labels, isHealed: false });
  }

  async #commitInner(inner: IngestWriter, request: Omit<CommitIngest, "size">): Promise<Digest> {
    const { pinnedBlobs, metadata } = this.#parts;
    const { namespace } = this.#context;
    const { expected, labels } = request;
    const actual = inner.digest();
    const size = inner.offset;
    using _actual = await pinnedBlobs.pin(actual);
    using _expected = expected === undefined ? undefined : await pinnedBlobs.pin(expected);
    let digest = expected ?? actual;
    // Asked before: by the time that our blob is there, another writer of the same bytes may have written the row.
    const wasKnown = metadata.get(contents, [namespace, digest]) !== undefined;
    let isFresh = true;
    try {
      digest = await inner.commit({ size, expected, labels: {} });
    } catch (thrown) {
      if (!hasCode(thrown, "ALREADY_EXISTS")) throw thrown;
      isFresh = false;
    }
    stored.pass();
    // A row whose blob had been lost is whole again.
    return await this.#record({ digest, size, labels, isHealed: isFresh && wasKnown });
  }

  async #record(blob: {
    readonly digest: Digest;
    readonly size: number;
    readonly labels: Readonly<Record<string, string>>;
    readonly isHealed: boolean;
  }): Promise<Digest> {
    const { digest, size, labels } = blob;
    const { namespace } = this.#context;
    const { metadata, now } = this.#parts;
    const isKnown = await metadata.write((transaction) => {
      leaseTo(transaction, this.#context, { type: "content", id: digest });
      const ingest = transaction.get(ingests, [namespace, this.ref]);
      if (ingest?.storeRef === this.#storeRef) {
        transaction.delete(ingests, [namespace, this.ref]);
        unleaseFrom(transaction, this.#context, { type: "ingests", id: this.ref });
      }
      if (transaction.get(contents, [namespace, digest]) !== undefined) return true;
      const at = now();
      const row = { namespace, digest, size, labels, createdAt: at, updatedAt: at };
      transaction.put(contents, [namespace, digest], row);
      return false;
    });
    recorded.pass();
    if (isKnown && !blob.isHealed) throw contentExists(digest);
    return digest;
  }
}

export function contentExists(digest: Digest): Error {
  return alreadyExists(`content ${digest}`, { subject: digest, reason: "content-exists" });
}

function closed(ref: string): Error {
  return failedPrecondition(`cannot use the writer of ${JSON.stringify(ref)}: it is closed`, {
    subject: ref,
    reason: "writer-closed",
  });
}
