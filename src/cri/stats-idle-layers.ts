import { LazuliError } from "../errors/index.js";
import type { LayerEngine } from "../layer/index.js";
import { type Metadata, snapshotRows } from "../metadata/index.js";
import type { SnapshotUsage } from "../snapshotters/index.js";

export interface IdleLayersOptions {
  readonly engine: Pick<LayerEngine, "list" | "usage">;
  readonly metadata: Pick<Metadata, "values">;
}

/** What lazy layers take that no snapshot is any more: they stay for some minutes, in case their image comes again. */
export async function idleLayers({ engine, metadata }: IdleLayersOptions): Promise<SnapshotUsage> {
  const used = new Set(metadata.values(snapshotRows).map(({ layerDigest }) => layerDigest));
  let total = { size: 0, inodes: 0 };
  for (const { digest } of engine.list()) {
    if (used.has(digest)) continue;
    try {
      const { bytes, inodes } = await engine.usage(digest);
      total = { size: total.size + bytes, inodes: total.inodes + inodes };
    } catch (thrown) {
      // Removed since it was listed.
      if (LazuliError.from(thrown).code !== "NOT_FOUND") throw thrown;
    }
  }
  return total;
}
