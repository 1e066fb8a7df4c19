import type { Digest } from "../bytes/index.js";
import { parseFilters } from "../filters/index.js";
import {
  contents,
  counters,
  type IngestRow,
  ingests,
  namespaces,
  type Transaction,
} from "../metadata/index.js";
import { failurePoint } from "../observe/index.js";
import type {
  BlobReader,
  ContentInfo,
  ContentStore,
  IngestStatus,
  IngestWriter,
  OpenIngest,
  UpdateContent,
} from "./contract.js";
import {
  checkedLabels,
  checkRef,
  contentMissing,
  fieldsOfInfo,
  hasCode,
  infoOfRow,
  leaseTo,
  type NamespaceContext,
  type NamespacedParts,
  referenceMissing,
  unleaseFrom,
  updatedLabels,
} from "./namespaced-rows.js";
import { type AdoptedBlob, contentExists, NamespacedWriter } from "./namespaced-writer.js";

const began = failurePoint("content.namespaced.began");
const deleted = failurePoint("content.namespaced.deleted");

/** A day: an ingest without a lease may be collected then. */
const INGEST_LIFE_NS = 24n * 3600n * 1_000_000_000n;
const SHAREABLE_LABEL = "containerd.io/namespace.shareable";
/** Rows of one step of a walk. */
const WALK_PAGE = 500;
const SEQUENCE = "content-ingest";

interface BegunIngest {
  readonly storeRef: string;
  readonly isNew: boolean;
}

/** The store as one namespace sees it: its rows decide what is there, the store below has the bytes. */
export class NamespacedStore implements ContentStore {
  readonly #parts: NamespacedParts;
  readonly #context: NamespaceContext;

  constructor(parts: NamespacedParts, context: NamespaceContext) {
    this.#parts = parts;
    this.#context = context;
  }

  async info(digest: Digest): Promise<ContentInfo> {
    const row = this.#parts.metadata.get(contents, [this.#context.namespace, digest]);
    if (row === undefined) throw contentMissing(digest);
    return infoOfRow(row);
  }

  async update(request: UpdateContent): Promise<ContentInfo> {
    const { metadata, now } = this.#parts;
    const key = [this.#context.namespace, request.digest];
    return await metadata.write((transaction) => {
      const row = transaction.get(contents, key);
      if (row === undefined) throw contentMissing(request.digest);
      const labels = checkedLabels(updatedLabels(row.labels, request));
      const changed = { ...row, labels, updatedAt: now() };
      transaction.put(contents, key, changed);
      return infoOfRow(changed);
    });
  }

  async *walk(filters: readonly string[]): AsyncIterable<ContentInfo> {
    const matches = parseFilters(filters);
    const { metadata } = this.#parts;
    const { namespace } = this.#context;
    for (let after: readonly (string | number)[] | undefined; ; ) {
      const page = metadata.page(contents, [namespace], { after, limit: WALK_PAGE });
      for (const { value } of page) {
        const info = infoOfRow(value);
        if (matches(fieldsOfInfo(info))) yield info;
      }
      const last = page.at(-1);
      if (last === undefined || page.length < WALK_PAGE) return;
      after = [namespace, last.value.digest];
    }
  }

  async delete(digest: Digest): Promise<void> {
    const key = [this.#context.namespace, digest];
    await this.#parts.metadata.write(
      (transaction) => {
        if (transaction.get(contents, key) === undefined) throw contentMissing(digest);
        transaction.delete(contents, key);
        unleaseFrom(transaction, this.#context, { type: "content", id: digest });
      },
      { isRemoval: true },
    );
  }

  async open(digest: Digest, options: { signal?: AbortSignal | undefined } = {}): Promise<BlobReader> {
    await this.info(digest);
    return await this.#parts.store.open(digest, options);
  }

  async status(ref: string): Promise<IngestStatus> {
    const row = this.#parts.metadata.get(ingests, [this.#context.namespace, ref]);
    if (row === undefined) throw referenceMissing(ref);
    return { ...(await this.#parts.store.status(row.storeRef)), ref };
  }

  async statuses(filters: readonly string[]): Promise<readonly IngestStatus[]> {
    const matches = parseFilters(filters);
    const { metadata, store } = this.#parts;
    const refs: { ref: string; storeRef: string }[] = [];
    for (const { value } of metadata.entries(ingests, [this.#context.namespace])) {
      const { ref, storeRef } = value;
      if (matches(([field]) => (field === "ref" ? ref : undefined))) refs.push({ ref, storeRef });
    }
    const found: IngestStatus[] = [];
    for (const { ref, storeRef } of refs) {
      try {
        found.push({ ...(await store.status(storeRef)), ref });
      } catch (thrown) {
        if (!hasCode(thrown, "NOT_FOUND")) throw thrown;
      }
    }
    return found;
  }

  async abort(ref: string): Promise<void> {
    const { metadata, store } = this.#parts;
    const key = [this.#context.namespace, ref];
    const storeRef = await metadata.write(
      (transaction) => {
        const row = transaction.get(ingests, key);
        if (row === undefined) throw referenceMissing(ref);
        transaction.delete(ingests, key);
        unleaseFrom(transaction, this.#context, { type: "ingests", id: ref });
        return row.storeRef;
      },
      { isRemoval: true },
    );
    deleted.pass();
    try {
      await store.abort(storeRef);
    } catch (thrown) {
      // A ref that adopted a blob has nothing in the store.
      if (!hasCode(thrown, "NOT_FOUND")) throw thrown;
    }
  }

  async writer(request: OpenIngest): Promise<IngestWriter> {
    checkRef(request.ref);
    request.signal?.throwIfAborted();
    const { expected } = request;
    const pin = expected === undefined ? undefined : await this.#parts.pinnedBlobs.pin(expected);
    let isHandedOn = false;
    try {
      const blob = expected === undefined ? undefined : await this.#storedBlob(expected);
      const adopted = blob !== undefined && this.#mayAdopt(blob, request.total) ? blob : undefined;
      const begun = await this.#begin(request, { blob, adopted });
      if (begun === undefined) throw contentExists(expected!);
      began.pass();
      if (adopted === undefined || pin === undefined) return await this.#openInner(request, begun);
      isHandedOn = true;
      const { storeRef } = begun;
      const pins = [pin, await this.#parts.pinnedRefs.pin(storeRef)];
      return this.#writer({ ref: request.ref, storeRef, source: adopted, pins });
    } finally {
      if (!isHandedOn) pin?.[Symbol.dispose]();
    }
  }

  async #storedBlob(digest: Digest): Promise<AdoptedBlob | undefined> {
    try {
      const { size } = await this.#parts.store.info(digest);
      return { digest, size };
    } catch (thrown) {
      if (hasCode(thrown, "NOT_FOUND")) return undefined;
      throw thrown;
    }
  }

  /** A size that differs is likely an error, which the commit will tell. */
  #mayAdopt(blob: AdoptedBlob, total: number): boolean {
    if (total !== 0 && total !== blob.size) return false;
    if (this.#parts.policy === "shared") return true;
    const { metadata } = this.#parts;
    for (const { value } of metadata.entries(namespaces, [])) {
      if (value.labels[SHAREABLE_LABEL] !== "true") continue;
      if (metadata.get(contents, [value.name, blob.digest]) !== undefined) return true;
    }
    return false;
  }

  /** Writes the ingest's row. @returns undefined when the namespace has the blob, which the lease has then too */
  async #begin(
    request: OpenIngest,
    known: { readonly blob: AdoptedBlob | undefined; readonly adopted: AdoptedBlob | undefined },
  ): Promise<BegunIngest | undefined> {
    const { ref } = request;
    const { namespace } = this.#context;
    const { blob, adopted } = known;
    const begun = await this.#parts.metadata.write((transaction) => {
      // A row whose blob was lost does not stand in the way of its bytes.
      if (blob !== undefined && transaction.get(contents, [namespace, blob.digest]) !== undefined) {
        leaseTo(transaction, this.#context, { type: "content", id: blob.digest });
        return undefined;
      }
      const present = transaction.get(ingests, [namespace, ref]);
      const isLeased = leaseTo(transaction, this.#context, { type: "ingests", id: ref });
      const row: IngestRow = {
        namespace,
        ref,
        storeRef: present?.storeRef ?? `${namespace}/${nextSequence(transaction)}/${ref}`,
        expected: adopted?.digest,
        expireAt: isLeased ? present?.expireAt : this.#parts.now() + INGEST_LIFE_NS,
      };
      transaction.put(ingests, [namespace, ref], row);
      return { storeRef: row.storeRef, isNew: present === undefined };
    });
    // Still pinned: a sweep that began before the row was durable learns of it here.
    if (adopted !== undefined) this.#parts.noteAdopted(adopted.digest);
    return begun;
  }

  async #openInner(request: OpenIngest, begun: BegunIngest): Promise<IngestWriter> {
    const { ref, total, signal } = request;
    const { storeRef } = begun;
    const pin = await this.#parts.pinnedRefs.pin(storeRef);
    try {
      // Without the digest: the namespace has the blob only once its bytes were brought, whoever else has it.
      const source = await this.#parts.store.writer({ ref: storeRef, total, expected: undefined, signal });
      return this.#writer({ ref, storeRef, source, pins: [pin] });
    } catch (thrown) {
      pin[Symbol.dispose]();
      if (begun.isNew && !hasCode(thrown, "UNAVAILABLE")) await this.#takeBack(ref, storeRef);
      throw thrown;
    }
  }

  async #takeBack(ref: string, storeRef: string): Promise<void> {
    const key = [this.#context.namespace, ref];
    const change = (transaction: Transaction): void => {
      if (transaction.get(ingests, key)?.storeRef !== storeRef) return;
      transaction.delete(ingests, key);
      unleaseFrom(transaction, this.#context, { type: "ingests", id: ref });
    };
    // The row expires by itself; the error that counts is the one before.
    await this.#parts.metadata.write(change, { isRemoval: true }).catch(() => undefined);
  }

  #writer(options: {
    readonly ref: string;
    readonly storeRef: string;
    readonly source: IngestWriter | AdoptedBlob;
    readonly pins: readonly Disposable[];
  }): IngestWriter {
    return new NamespacedWriter({ parts: this.#parts, context: this.#context, ...options });
  }
}

function nextSequence(transaction: Transaction): number {
  const next = (transaction.get(counters, SEQUENCE) ?? 0) + 1;
  transaction.put(counters, SEQUENCE, next);
  return next;
}
