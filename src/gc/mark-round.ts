import type { Change, KeyParts, Metadata, Transaction } from "../metadata/index.js";
import type { Collectible } from "./contract.js";
import { Graph } from "./graph.js";
import type { CollectionLimits } from "./limits.js";
import type { FactContext } from "./node-facts.js";
import { Pace } from "./pace.js";
import { type RowKind, rowKinds } from "./row-kinds.js";

/** Nodes that are followed between two looks at the clock. */
const FOLLOWED_NODES = 2000;

export interface MarkRoundOptions {
  readonly metadata: Metadata;
  readonly collectibles: readonly Collectible[];
  /** Nanoseconds since 1970. */
  readonly now: bigint;
  /** The graph can say how it reached a node. */
  readonly hasPaths?: boolean;
  readonly limits: CollectionLimits;
}

const kindsByTable = new Map(rowKinds.map((kind) => [kind.tableName, kind]));

/**
 * One mark of the graph beside writers. It reads durable rows in slices, and notes every row that an action writes
 * since it began. `catchUp`, called inside an action, takes those rows in as that action sees them, and keeps them for
 * this round, reachable or not, since whoever wrote one may be about to refer to it: what is not marked after it is
 * unreachable in the state that the action works on, and nothing new leads to it.
 */
export class MarkRound implements Disposable {
  readonly graph: Graph;
  readonly context: FactContext;
  readonly #metadata: Metadata;
  readonly #collectibles: readonly Collectible[];
  readonly #changed = new Map<RowKind, Map<string, KeyParts>>();
  readonly #subscription: Disposable;
  readonly #limits: CollectionLimits;

  constructor(options: MarkRoundOptions) {
    const { metadata, collectibles, now, hasPaths = false } = options;
    this.#metadata = metadata;
    this.#limits = options.limits;
    this.#collectibles = collectibles;
    this.context = {
      now,
      words: collectibles.map(({ label }) => label),
      resourcesOf: (snapshotter, storeKey) =>
        collectibles.flatMap((collectible) =>
          collectible.ofSnapshot(snapshotter, storeKey).map((key) => ({ word: collectible.label, key })),
        ),
    };
    this.graph = new Graph({ now, hasPaths });
    this.#subscription = metadata.observe((changes) => this.#note(changes));
  }

  [Symbol.dispose](): void {
    this.#subscription[Symbol.dispose]();
  }

  /** Whether rows wait that `catchUp` has not taken in. */
  get isBehind(): boolean {
    return this.#changed.size > 0;
  }

  pace(signal: AbortSignal | undefined): Pace {
    return new Pace({ signal, sliceMs: this.#limits.sliceMs });
  }

  async mark(signal: AbortSignal | undefined): Promise<void> {
    const pace = this.pace(signal);
    // What was taken into a commit before we listened is durable after this, so the reads below see it.
    await this.#metadata.write(() => undefined);
    for (const { label, all } of this.#collectibles.map(withAll)) {
      for (const key of await all()) {
        this.graph.setExists(this.graph.node({ namespace: "", sort: `resource/${label}`, key }));
      }
    }
    for (const kind of rowKinds) await this.#scan(kind, pace);
    while (!this.graph.follow(FOLLOWED_NODES)) await pace.rest();
    await this.catchUpInAction();
  }

  /** Takes in the rows written meanwhile, as an action sees them, and all that they reach. */
  catchUp(transaction: Transaction): void {
    for (const [kind, keys] of this.#changed) {
      for (const rowKey of keys.values()) this.#take(kind, rowKey, transaction);
    }
    this.#changed.clear();
    this.graph.follow(Number.POSITIVE_INFINITY);
  }

  async catchUpInAction(): Promise<void> {
    await this.#metadata.write((transaction) => this.catchUp(transaction));
  }

  async #scan(kind: RowKind, pace: Pace): Promise<void> {
    const { pageRows: limit, changedRowsMax } = this.#limits;
    for (let after: KeyParts | undefined; ; ) {
      const rows = kind.page(this.#metadata, { after, limit, context: this.context });
      for (const { rowKey, facts } of rows) {
        const node = this.graph.node(kind.place(rowKey));
        if (kind.isNode) this.graph.setExists(node);
        this.graph.add(node, facts);
      }
      await pace.rest();
      if (this.#changedRows() > changedRowsMax) await this.catchUpInAction();
      after = rows.at(-1)?.rowKey;
      if (rows.length < limit) return;
    }
  }

  #take(kind: RowKind, rowKey: KeyParts, transaction: Transaction): void {
    const facts = kind.read(transaction, rowKey, this.context);
    if (facts === undefined) return;
    const node = this.graph.node(kind.place(rowKey));
    if (kind.isNode) this.graph.keep(node);
    this.graph.add(node, facts);
  }

  #changedRows(): number {
    let rows = 0;
    for (const keys of this.#changed.values()) rows += keys.size;
    return rows;
  }

  #note(changes: readonly Change[]): void {
    for (const { table, key, record } of changes) {
      const kind = kindsByTable.get(table);
      // A row that goes makes nothing reachable.
      if (kind === undefined || record === undefined) continue;
      let keys = this.#changed.get(kind);
      if (keys === undefined) {
        keys = new Map();
        this.#changed.set(kind, keys);
      }
      keys.set(JSON.stringify(key), key);
    }
  }
}

function withAll(collectible: Collectible): { label: string; all: () => Promise<readonly string[]> } {
  return { label: collectible.label, all: () => collectible.all() };
}
