import { setImmediate as turn } from "node:timers/promises";
import type { Digest } from "../bytes/index.js";
import { contents, ingests } from "../metadata/index.js";
import { failurePoint } from "../observe/index.js";
import type { ContentInfo } from "./contract.js";
import { hasCode, type NamespacedParts } from "./namespaced-rows.js";

const removedBlob = failurePoint("content.sweep.removed");

export interface ContentSweep {
  readonly removedBlobs: number;
  readonly removedIngests: number;
  /** Blob bytes that left the disk. */
  readonly bytesFreed: number;
}

/** Blobs looked at before others get a turn of the event loop: a look costs some microseconds for each namespace. */
const TURN_BLOBS = 100;
/** Blobs that are removed side by side. */
const REMOVALS_MAX = 32;
const ROWS_PAGE = 500;
/** Sorts after every digest. */
const AFTER_DIGESTS = "~";

export interface SweepOptions {
  readonly signal?: AbortSignal | undefined;
  /** Digests that ingest rows lead to; the rows that come while the sweep runs are added by their writers. */
  readonly adopted: Set<Digest>;
}

/** Removes the blobs and ingests of the store that no namespace has. Reads rows, and never waits for a writer. */
export async function sweepContent(parts: NamespacedParts, options: SweepOptions): Promise<ContentSweep> {
  // Sweeps that find nothing to wait for give others a turn all the same.
  await turn();
  await collectAdopted(parts, options);
  const blobs = await sweepBlobs(parts, options);
  return { ...blobs, removedIngests: await sweepIngests(parts, options.signal) };
}

async function collectAdopted(parts: NamespacedParts, options: SweepOptions): Promise<void> {
  for (let after: readonly string[] | undefined; ; ) {
    options.signal?.throwIfAborted();
    const page = parts.metadata.page(ingests, [], { after, limit: ROWS_PAGE });
    for (const { value } of page) if (value.expected !== undefined) options.adopted.add(value.expected);
    const last = page.at(-1)?.value;
    if (last === undefined || page.length < ROWS_PAGE) return;
    after = [last.namespace, last.ref];
    await turn();
  }
}

async function sweepBlobs(
  parts: NamespacedParts,
  options: SweepOptions,
): Promise<{ removedBlobs: number; bytesFreed: number }> {
  const { store, pinnedBlobs } = parts;
  const owners = new BlobOwners(parts);
  let [seen, removedBlobs, bytesFreed] = [0, 0, 0];
  const remove = async (info: ContentInfo): Promise<void> => {
    const isRemoved = await pinnedBlobs.remove([info.digest], async () => {
      owners.refresh();
      // Again, now that no writer can pin it: a row may have come since, in a namespace that was not there before.
      if (owners.has(info.digest) || options.adopted.has(info.digest)) return false;
      return await removeBlob(parts, info);
    });
    if (!isRemoved) return;
    removedBlob.pass();
    removedBlobs += 1;
    bytesFreed += info.size;
  };
  let batch: ContentInfo[] = [];
  for await (const info of store.walk([])) {
    seen += 1;
    if (seen % TURN_BLOBS === 0) {
      await turn();
      options.signal?.throwIfAborted();
    }
    if (owners.has(info.digest) || options.adopted.has(info.digest)) continue;
    batch.push(info);
    if (batch.length < REMOVALS_MAX) continue;
    await Promise.all(batch.map(remove));
    batch = [];
  }
  await Promise.all(batch.map(remove));
  return { removedBlobs, bytesFreed };
}

async function removeBlob(parts: NamespacedParts, info: ContentInfo): Promise<boolean> {
  try {
    await parts.store.delete(info.digest);
    return true;
  } catch (thrown) {
    if (hasCode(thrown, "NOT_FOUND")) return false;
    throw thrown;
  }
}

async function sweepIngests(parts: NamespacedParts, signal: AbortSignal | undefined): Promise<number> {
  const { store, pinnedRefs } = parts;
  let removed = 0;
  for (const { ref } of await store.statuses([])) {
    signal?.throwIfAborted();
    const isRemoved = await pinnedRefs.remove([ref], async () => {
      if (isKnownRef(parts, ref)) return false;
      try {
        await store.abort(ref);
        return true;
      } catch (thrown) {
        if (hasCode(thrown, "NOT_FOUND")) return false;
        throw thrown;
      }
    });
    if (isRemoved) removed += 1;
  }
  return removed;
}

/** Refs of the store are `<namespace>/<number>/<ref>`; a namespace has no slash. */
function isKnownRef(parts: NamespacedParts, storeRef: string): boolean {
  const match = /^([^/]+)\/\d+\/(.+)$/s.exec(storeRef);
  if (match === null) return false;
  return parts.metadata.get(ingests, [match[1]!, match[2]!])?.storeRef === storeRef;
}

/** Tells whether any namespace has a blob, by its key: memory does not grow with the number of blobs. */
class BlobOwners {
  readonly #parts: NamespacedParts;
  /** Names of the namespaces with blobs, the one that had the last blob first: neighbours often have one owner. */
  #names: string[];

  constructor(parts: NamespacedParts) {
    this.#parts = parts;
    this.#names = namespacesWithBlobs(parts);
  }

  refresh(): void {
    this.#names = namespacesWithBlobs(this.#parts);
  }

  has(digest: Digest): boolean {
    for (const [index, name] of this.#names.entries()) {
      if (this.#parts.metadata.get(contents, [name, digest]) === undefined) continue;
      if (index > 0) {
        this.#names.splice(index, 1);
        this.#names.unshift(name);
      }
      return true;
    }
    return false;
  }
}

function namespacesWithBlobs(parts: NamespacedParts): string[] {
  const names: string[] = [];
  for (let after: readonly string[] | undefined; ; ) {
    const [first] = parts.metadata.page(contents, [], { after, limit: 1 });
    if (first === undefined) return names;
    names.push(first.value.namespace);
    after = [first.value.namespace, AFTER_DIGESTS];
  }
}
