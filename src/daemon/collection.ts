import type { NamespacedContent } from "../content/index.js";
import {
  type Collectible,
  type Collector,
  createCollectionScheduler,
  createCollector,
  type GraphNode,
} from "../gc/index.js";
import type { LayerEngine } from "../layer/index.js";
import { type Metadata, snapshotRows } from "../metadata/index.js";
import type { NamespacedSnapshotter } from "../snapshotters/index.js";
import type { Config } from "./config-keys.js";

export interface CollectionParts {
  readonly config: Config;
  readonly metadata: Metadata;
  readonly engine: Pick<LayerEngine, "list">;
  readonly content: NamespacedContent;
  /** By the name that rows have. */
  readonly snapshotters: ReadonlyMap<string, NamespacedSnapshotter>;
  /** Name of the snapshotter whose snapshots are the engine's layers; undefined: none is served. */
  readonly lazyName: string | undefined;
  /** Further things that take part. */
  readonly others: readonly Collectible[];
  readonly now: () => bigint;
  /** Told of each object that a collection has removed. */
  readonly onRemoved: (node: GraphNode) => void;
}

/** The collector over everything that the daemon keeps, and its schedule. */
export function startCollection(parts: CollectionParts) {
  const { config, metadata, content, snapshotters, now, onRemoved } = parts;
  const collectibles = [layerNodes(parts), ...parts.others];
  const collector: Collector = createCollector({
    metadata,
    content,
    snapshotters,
    collectibles,
    now,
    onRemoved,
  });
  const scheduler = createCollectionScheduler({ collector, metadata, ...config.gc });
  return { collector, scheduler };
}

/** The engine's layers as nodes of the graph: what leads to one is the snapshot that it is. */
function layerNodes({ metadata, engine, lazyName }: CollectionParts): Collectible {
  return {
    label: "layer",
    all: async () => engine.list().map(({ digest }) => digest),
    ofSnapshot: (snapshotter, storeKey) => {
      if (snapshotter !== lazyName) return [];
      const digest = metadata.get(snapshotRows, storeKey)?.layerDigest;
      return digest === undefined ? [] : [digest];
    },
    // The lazy snapshotter takes a layer away itself, when the last snapshot that it is has gone and nobody makes one.
    remove: async () => false,
  };
}
