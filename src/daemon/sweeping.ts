import type { NamespacedContent } from "../content/index.js";
import type { CollectionTrigger } from "../services/index.js";
import type { NamespacedSnapshotter } from "../snapshotters/index.js";

/** Takes away what no row leads to: bytes of the store, and snapshots; the rows themselves it leaves alone. */
export function sweeping(parts: {
  readonly content: NamespacedContent;
  readonly snapshotters: ReadonlyMap<string, NamespacedSnapshotter>;
}): CollectionTrigger {
  return {
    scheduleAndWait: async ({ signal }) => {
      for (const snapshotter of parts.snapshotters.values()) await snapshotter.sweep({ signal });
      await parts.content.sweep({ signal });
    },
  };
}
