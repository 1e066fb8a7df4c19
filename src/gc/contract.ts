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

export interface CollectionStats {
  readonly removed: Readonly<Partial<Record<NodeType, number>>>;
  /** Blob bytes that left the disk. */
  readonly bytesFreed: number;
  readonly nodesSeen: number;
  readonly durationMs: number;
}

/**
 * A kind of thing outside the metadata that takes part in the collection, such as the engine's layers: it is reached by
 * `containerd.io/gc.ref.<label>` labels and by `references`.
 */
export interface Collectible {
  /** The word in the label, e.g. `layer`. */
  readonly label: string;
  /** Everything there is; the collection removes what it does not reach. */
  all(): Promise<readonly { readonly namespace: string; readonly key: string }[]>;
  /** Nodes of this kind that a snapshot of a snapshotter leads to, e.g. the layer that it is. */
  ofSnapshot(snapshotter: string, storeKey: string): readonly string[];
  remove(key: string): Promise<void>;
}
