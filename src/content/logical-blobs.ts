import { SingleFlight } from "../async/index.js";
import type { Digest } from "../bytes/index.js";
import { dataLoss } from "../errors/index.js";
import type { BlobSource } from "../registry/index.js";
import type { BlobReader, ContentInfo, ContentStore, IngestWriter } from "./contract.js";
import type { LogicalBlob, LogicalSource } from "./logical-source.js";
import { hasCode } from "./namespaced-rows.js";

/** Times that a blob is fetched whole, when what came has another digest. */
const FETCHES_MAX = 2;

/** Bytes of one range: what a broken request costs at most where the registry can't resume. */
const RANGE_BYTES = 32 * 1024 * 1024;

/** Fetches that end while the store still has not got the blob, e.g. that were made for another namespace. */
const ROUNDS_MAX = 4;

/** Makes stores whose missing blobs are fetched when they are opened. */
export interface LogicalBlobs {
  /**
   * The store with the source's blobs: `info` knows them, `open` fetches them whole, and they are served once they
   * have their digest and are committed. Opens of one blob share a fetch, over all stores made here; a fetch that
   * fails goes on where it stopped when the blob is opened again. `walk` shows what is in the store only.
   */
  over(store: ContentStore): ContentStore;
}

export function logicalBlobs(options: { readonly source: LogicalSource }): LogicalBlobs {
  const flights = new SingleFlight<Digest, void>();
  return { over: (store) => new LogicalStore({ store, source: options.source, flights }) };
}

/** One store over one source. */
export function withLogicalBlobs(options: {
  readonly store: ContentStore;
  readonly source: LogicalSource;
}): ContentStore {
  return logicalBlobs({ source: options.source }).over(options.store);
}

class LogicalStore implements ContentStore {
  readonly #store: ContentStore;
  readonly #source: LogicalSource;
  readonly #flights: SingleFlight<Digest, void>;
  readonly update: ContentStore["update"];
  readonly walk: ContentStore["walk"];
  readonly delete: ContentStore["delete"];
  readonly status: ContentStore["status"];
  readonly statuses: ContentStore["statuses"];
  readonly abort: ContentStore["abort"];
  readonly writer: ContentStore["writer"];

  constructor(parts: {
    readonly store: ContentStore;
    readonly source: LogicalSource;
    readonly flights: SingleFlight<Digest, void>;
  }) {
    const { store } = parts;
    this.#store = store;
    this.#source = parts.source;
    this.#flights = parts.flights;
    this.update = store.update.bind(store);
    this.walk = store.walk.bind(store);
    this.delete = store.delete.bind(store);
    this.status = store.status.bind(store);
    this.statuses = store.statuses.bind(store);
    this.abort = store.abort.bind(store);
    this.writer = store.writer.bind(store);
  }

  async info(digest: Digest): Promise<ContentInfo> {
    try {
      return await this.#store.info(digest);
    } catch (thrown) {
      const blob = hasCode(thrown, "NOT_FOUND") ? this.#source.find(digest) : undefined;
      if (blob === undefined) throw thrown;
      return { digest, size: blob.size, labels: blob.labels, createdAt: 0n, updatedAt: 0n };
    }
  }

  async open(digest: Digest, options: { signal?: AbortSignal | undefined } = {}): Promise<BlobReader> {
    for (let round = 1; ; round += 1) {
      try {
        return await this.#store.open(digest, options);
      } catch (thrown) {
        const blob = hasCode(thrown, "NOT_FOUND") ? this.#source.find(digest) : undefined;
        if (blob === undefined || round > ROUNDS_MAX) throw thrown;
        const fetch = async (signal: AbortSignal): Promise<void> =>
          await fetchBlob({ store: this.#store, source: this.#source, digest, blob, signal });
        await this.#flights.run(digest, fetch, options.signal);
      }
    }
  }
}

interface Fetch {
  readonly store: ContentStore;
  readonly source: LogicalSource;
  readonly digest: Digest;
  readonly blob: LogicalBlob;
  readonly signal: AbortSignal;
}

/** @throws DATA_LOSS when what the registry gives does not have the digest; and what the source and the store throw */
async function fetchBlob(fetch: Fetch): Promise<void> {
  const { store, digest, blob, signal } = fetch;
  let source: BlobSource | undefined;
  for (let attempt = 1; ; attempt += 1) {
    const writer = await openWriter(fetch);
    if (writer === undefined) return;
    try {
      if (writer.offset < blob.size) {
        source ??= await fetch.source.open(digest, { signal });
        await fill(writer, source, fetch);
      }
      await writer.commit({ size: blob.size, expected: digest, labels: blob.labels });
      return;
    } catch (thrown) {
      await writer.close();
      if (hasCode(thrown, "ALREADY_EXISTS")) return;
      if (!hasCode(thrown, "FAILED_PRECONDITION")) throw thrown;
      // Which part of it is wrong can't be told, so nothing of it is kept.
      await store.abort(writer.ref);
      source?.distrust({ offset: 0, length: blob.size });
      if (attempt < FETCHES_MAX) continue;
      throw dataLoss(`Cannot fetch blob ${digest}: the registry gives other bytes`, {
        subject: digest,
        reason: "blob-digest-mismatch",
        hint: "Check the registry and its mirrors: the blob is damaged there or on the way",
        cause: thrown,
      });
    }
  }
}

/** @returns undefined when the blob is there by now */
async function openWriter(fetch: Fetch): Promise<IngestWriter | undefined> {
  const { store, digest, blob, signal } = fetch;
  try {
    return await store.writer({ ref: `lazuli-fetch-${digest}`, total: blob.size, expected: digest, signal });
  } catch (thrown) {
    if (hasCode(thrown, "ALREADY_EXISTS")) return undefined;
    throw thrown;
  }
}

/** Appends what is missing. What has arrived stays in the ingest when it fails. */
async function fill(writer: IngestWriter, source: BlobSource, fetch: Fetch): Promise<void> {
  const { blob, signal } = fetch;
  while (writer.offset < blob.size) {
    const { offset } = writer;
    const length = Math.min(RANGE_BYTES, blob.size - offset);
    for await (const piece of source.readRange({ offset, length, signal })) {
      await writer.write(piece);
    }
  }
}
