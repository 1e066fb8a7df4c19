/** A thing that can be kept or collected. `key` of a snapshot is `<snapshotter>/<key>`. */
export type NodeType =
  | "content"
  | "snapshot"
  | "image"
  | "container"
  | "sandbox"
  | "lease"
  | "ingest"
  /** Of a `Collectible`: `<label word>/<key>`. */
  | "resource";

export interface GraphNode {
  readonly type: NodeType;
  /** "" for things that lie outside of namespaces. */
  readonly namespace: string;
  readonly key: string;
}

/** One step of the way from a root to an object. */
export interface PathStep {
  readonly node: GraphNode;
  /** Why this node is here: a root's reason (`image`, `lease`, `gc.root` …) or the label or field that led to it. */
  readonly by: string;
}

/** An object and the shortest way to it that was found; an empty way: the next collection removes it. */
export interface Explanation {
  readonly node: GraphNode;
  readonly path: readonly PathStep[];
}

/** What a collection would remove at the moment. */
export interface CollectionPlan {
  readonly unreachable: readonly GraphNode[];
  readonly nodesSeen: number;
}

export interface CollectionStats {
  /** Nodes by type: rows, and resources of collectibles. */
  readonly removed: Readonly<Partial<Record<NodeType, number>>>;
  /** Blob bytes that left the disk. */
  readonly bytesFreed: number;
  readonly nodesSeen: number;
  readonly durationMs: number;
}

/**
 * A kind of thing outside the metadata that takes part in the collection, such as the engine's layers: it is reached by
 * `containerd.io/gc.ref.<label>` labels of any namespace and by snapshots.
 */
export interface Collectible {
  /** The word in the label, e.g. `layer`. */
  readonly label: string;
  /** Keys of everything there is; the collection removes what it does not reach. */
  all(): Promise<readonly string[]>;
  /** Keys that a snapshot of a snapshotter leads to, e.g. the layer that it is. */
  ofSnapshot(snapshotter: string, storeKey: string): readonly string[];
  /**
   * Removes one, unless `isKept` says, asked in the turn of the event loop in which the removal begins, that a row leads
   * to it since. Whoever is about to write such a row holds the thing by the collectible's own means.
   * @returns whether it was removed
   */
  remove(key: string, isKept: () => boolean): Promise<boolean>;
}
