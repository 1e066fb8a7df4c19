import { KeyedQueue } from "../async/index.js";
import { PinnedNames } from "../content/index.js";
import { failedPrecondition } from "../errors/index.js";
import { counters, type Metadata } from "../metadata/index.js";
import type { Snapshotter } from "./contract.js";
import { settle } from "./namespaced-commit.js";
import { type NamespacedParts, pendingCommits } from "./namespaced-rows.js";
import { NamespacedSnapshots } from "./namespaced-snapshots.js";
import { type SnapshotSweep, sweepSnapshots } from "./namespaced-sweep.js";

export interface NamespacedSnapshotterOptions {
  readonly metadata: Metadata;
  /** Nobody else may make snapshots in it, since a sweep removes what no row leads to. */
  readonly snapshotter: Snapshotter;
  /** As clients call it, e.g. `overlayfs`. */
  readonly name: string;
  /** Nanoseconds since 1970. */
  readonly now: () => bigint;
}

/** containerd's metadata layer of the snapshots (core/metadata/snapshot.go). */
export interface NamespacedSnapshotter {
  /** The snapshotter as a namespace sees it. @throws FAILED_PRECONDITION without a namespace */
  for(context: { readonly namespace: string; readonly lease?: string | undefined }): Snapshotter;
  /**
   * Removes the snapshots below that no namespace has, children first, then what removed ones left behind; never one
   * whose row is being written. Sweeps run one after the other.
   */
  sweep(options?: { signal?: AbortSignal | undefined }): Promise<SnapshotSweep>;
}

const SEQUENCE = "namespaced-snapshot";
/** Numbers that are taken by one write; those left over at a restart are never used. */
const SEQUENCE_BLOCK = 1000;

/** Makes one snapshotter look like one for each namespace. */
export function namespacedSnapshotter(options: NamespacedSnapshotterOptions): NamespacedSnapshotter {
  const { metadata, snapshotter, name, now } = options;
  const sequence = new Sequence(metadata);
  let kept: Set<string> | undefined;
  let last: Promise<unknown> = Promise.resolve();
  const parts: NamespacedParts = {
    metadata,
    snapshotter,
    name,
    now,
    pinned: new PinnedNames(),
    turns: new KeyedQueue<string>(),
    noteKept: (storeKey) => kept?.add(storeKey),
    nextStoreKey: async (namespace, key) => `${namespace}/${await sequence.next()}/${key}`,
  };
  let recovery: Promise<void> | undefined;
  const ready = async (): Promise<void> => {
    recovery ??= recover(parts).catch((thrown: unknown) => {
      recovery = undefined;
      throw thrown;
    });
    await recovery;
  };
  const sweep = async (signal: AbortSignal | undefined): Promise<SnapshotSweep> => {
    await ready();
    kept = new Set();
    try {
      return await sweepSnapshots(parts, { signal, kept });
    } finally {
      kept = undefined;
    }
  };
  return {
    for: ({ namespace, lease }) => {
      if (namespace === "")
        throw failedPrecondition("namespace is required", { reason: "namespace-missing" });
      return new NamespacedSnapshots(parts, { namespace, lease: lease === "" ? undefined : lease }, ready);
    },
    sweep: async ({ signal } = {}) => {
      const next = last.then(async () => await sweep(signal));
      // The next sweep only waits for the end of this one.
      last = next.catch(() => undefined);
      return await next;
    },
  };
}

/** Ends the commits that the end of a process left half done. */
async function recover(parts: NamespacedParts): Promise<void> {
  const commits = [...parts.metadata.entries(pendingCommits, [])].map(({ value }) => value);
  for (const commit of commits) {
    if (commit.snapshotter !== parts.name) continue;
    await settle(parts, { namespace: commit.namespace, lease: undefined }, commit);
  }
}

/** Numbers that no process has had before. */
class Sequence {
  readonly #metadata: Metadata;
  #next = 0;
  #end = 0;
  #reserving: Promise<void> | undefined;

  constructor(metadata: Metadata) {
    this.#metadata = metadata;
  }

  async next(): Promise<number> {
    while (this.#next === this.#end) {
      this.#reserving ??= this.#reserve().finally(() => {
        this.#reserving = undefined;
      });
      await this.#reserving;
    }
    this.#next += 1;
    return this.#next;
  }

  async #reserve(): Promise<void> {
    const end = await this.#metadata.write((transaction) => {
      const upTo = (transaction.get(counters, SEQUENCE) ?? 0) + SEQUENCE_BLOCK;
      transaction.put(counters, SEQUENCE, upTo);
      return upTo;
    });
    this.#next = end - SEQUENCE_BLOCK;
    this.#end = end;
  }
}
