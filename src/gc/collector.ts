import { notFound } from "../errors/index.js";
import type { Change } from "../metadata/index.js";
import { contents, ingests, type KeyParts, type Metadata, namespacedSnapshots } from "../metadata/index.js";
import { failurePoint } from "../observe/index.js";
import { collectedChannel } from "./channel.js";
import type { Collectible, CollectionPlan, CollectionStats, Explanation, GraphNode } from "./contract.js";
import { explainPath } from "./explain-path.js";
import { type CollectionLimits, collectionLimits } from "./limits.js";
import { MarkRound } from "./mark-round.js";
import { type RemovedCounts, removeRows } from "./remove-rows.js";

const marked = failurePoint("gc.marked");
const rowsRemoved = failurePoint("gc.rows.removed");
const contentSwept = failurePoint("gc.content.swept");
const snapshotsSwept = failurePoint("gc.snapshots.swept");

interface SweepOptions {
  readonly signal?: AbortSignal | undefined;
}

export interface CollectorOptions {
  readonly metadata: Metadata;
  /** Removes the bytes that no row leads to (`namespacedContent`). */
  readonly content: { sweep(options: SweepOptions): Promise<{ readonly bytesFreed: number }> };
  /** Each removes the snapshots that no row leads to (`namespacedSnapshotter`), by the name that rows have. */
  readonly snapshotters: ReadonlyMap<string, { sweep(options: SweepOptions): Promise<unknown> }>;
  readonly collectibles: readonly Collectible[];
  /** Nanoseconds since 1970. */
  readonly now: () => bigint;
  readonly limits?: Partial<CollectionLimits>;
  /** Told of each object that a collection has removed, when its row is durably gone. */
  readonly onRemoved?: (node: GraphNode) => void;
}

/** Removes exactly what nothing reaches, beside writers that never wait for more than one short action of it. */
export interface Collector {
  /**
   * First takes rows away, durably, then what the rows no longer lead to: whatever ends the process in between leaves
   * only what the next collection removes. Collections run one after the other.
   * @throws what a write or a sweep throws; the rest is left to the next collection
   */
  collect(options?: SweepOptions): Promise<CollectionStats>;
  /** What a collection would remove now; removes nothing. */
  plan(options?: SweepOptions): Promise<CollectionPlan>;
  /**
   * Why things of this name are kept, in every namespace: a digest, an image's name, an id, a ref, or a snapshot's key
   * with or without `<snapshotter>/`. @throws NOT_FOUND when there is none
   */
  why(subject: string, options?: SweepOptions): Promise<Explanation[]>;
  /** Whether an observer of the metadata sees a removal of the collector's own. */
  isOwn(changes: readonly Change[]): boolean;
}

export function createCollector(options: CollectorOptions): Collector {
  return new RowCollector(options);
}

const CONTENT = "content";

class RowCollector implements Collector {
  readonly #options: CollectorOptions;
  readonly #limits: CollectionLimits;
  readonly #ownKeys = new WeakSet<KeyParts>();
  /** What has to be swept: rows of it went. At the start everything, since an end in between may have left orphans. */
  readonly #unswept: Set<string>;
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: CollectorOptions) {
    this.#options = options;
    this.#limits = { ...collectionLimits, ...options.limits };
    this.#unswept = new Set([CONTENT, ...[...options.snapshotters.keys()].map(snapshotterWord)]);
    // As long as the metadata is open.
    options.metadata.observe((changes) => this.#noteRemovals(changes));
  }

  async collect({ signal }: SweepOptions = {}): Promise<CollectionStats> {
    const next = this.#last.then(async () => await this.#collect(signal));
    // The next collection only waits for the end of this one.
    this.#last = next.catch(() => undefined);
    return await next;
  }

  async plan({ signal }: SweepOptions = {}): Promise<CollectionPlan> {
    using round = this.#round();
    await round.mark(signal);
    const { graph } = round;
    const unreachable = [];
    const pace = round.pace(signal);
    for (let id = 0; id < graph.size; id += 1) {
      if (id % 2000 === 0) await pace.rest();
      if (graph.exists(id) && !graph.isMarked(id)) unreachable.push(graph.describe(id));
    }
    return { unreachable, nodesSeen: graph.size };
  }

  async why(subject: string, { signal }: SweepOptions = {}): Promise<Explanation[]> {
    using round = this.#round({ hasPaths: true });
    await round.mark(signal);
    const { graph } = round;
    const nodes = graph.named(subject);
    if (nodes.length === 0) {
      throw notFound(
        `Cannot explain ${JSON.stringify(subject)}: want a digest, a name or a key that the metadata has, got none of them`,
        { subject, reason: "nothing-to-explain" },
      );
    }
    return nodes.map((id) => ({
      node: graph.describe(id),
      path: explainPath(this.#options.metadata, round, id),
    }));
  }

  isOwn(changes: readonly Change[]): boolean {
    return changes.some(({ key }) => this.#ownKeys.has(key));
  }

  #round({ hasPaths = false } = {}): MarkRound {
    const { metadata, collectibles, now } = this.#options;
    return new MarkRound({ metadata, collectibles, now: now(), hasPaths, limits: this.#limits });
  }

  async #collect(signal: AbortSignal | undefined): Promise<CollectionStats> {
    const startedAt = performance.now();
    signal?.throwIfAborted();
    using round = this.#round();
    await round.mark(signal);
    marked.pass();
    const { metadata, onRemoved: noteRemoved = () => undefined } = this.#options;
    const noteOwn = (rowKey: KeyParts): void => void this.#ownKeys.add(rowKey);
    const { batchRows } = this.#limits;
    const removed = await removeRows({ metadata, round, signal, batchRows, noteOwn, noteRemoved });
    rowsRemoved.pass();
    const bytesFreed = await this.#sweep(signal);
    await this.#removeResources({ round, removed, signal });
    const durationMs = performance.now() - startedAt;
    const stats = { removed, bytesFreed, nodesSeen: round.graph.size, durationMs };
    const objects = Object.values(removed).reduce((sum, count) => sum + count, 0);
    collectedChannel.publish({ removed: objects, bytesFreed, nodesSeen: stats.nodesSeen, durationMs });
    return stats;
  }

  /** The second phase: what lies below follows the rows. */
  async #sweep(signal: AbortSignal | undefined): Promise<number> {
    const { content, snapshotters } = this.#options;
    let bytesFreed = 0;
    await this.#sweepIfDue(CONTENT, async () => {
      bytesFreed = (await content.sweep({ signal })).bytesFreed;
    });
    contentSwept.pass();
    for (const [name, snapshotter] of snapshotters) {
      await this.#sweepIfDue(snapshotterWord(name), async () => void (await snapshotter.sweep({ signal })));
    }
    snapshotsSwept.pass();
    return bytesFreed;
  }

  async #sweepIfDue(what: string, sweep: () => Promise<void>): Promise<void> {
    if (!this.#unswept.delete(what)) return;
    try {
      await sweep();
    } catch (thrown) {
      this.#unswept.add(what);
      throw thrown;
    }
  }

  async #removeResources(options: {
    readonly round: MarkRound;
    readonly removed: RemovedCounts;
    readonly signal: AbortSignal | undefined;
  }): Promise<void> {
    const { round, removed, signal } = options;
    const { graph } = round;
    for (const collectible of this.#options.collectibles) {
      for (const key of await collectible.all()) {
        signal?.throwIfAborted();
        const node = graph.node({ namespace: "", sort: `resource/${collectible.label}`, key });
        // One that came since the mark began is looked at the next time.
        if (!graph.exists(node)) continue;
        if (round.isBehind) await round.catchUpInAction();
        const isKept = (): boolean => round.isBehind || graph.isMarked(node);
        if (isKept() || !(await collectible.remove(key, isKept))) continue;
        removed.resource = (removed.resource ?? 0) + 1;
      }
    }
  }

  #noteRemovals(changes: readonly Change[]): void {
    for (const { table, key, record } of changes) {
      if (record !== undefined) continue;
      if (table === contents.name || table === ingests.name) this.#unswept.add(CONTENT);
      else if (table === namespacedSnapshots.name) this.#unswept.add(snapshotterWord(String(key[1])));
    }
  }
}

function snapshotterWord(name: string): string {
  return `snapshotter ${name}`;
}
