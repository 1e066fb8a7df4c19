import type { RecordedStart } from "../layer/index.js";
import type { SnapshotRow } from "../metadata/index.js";

/** A container's start by its snapshot's key and ancestors, nearest first: what of it is lazy. */
export function startOf(
  { key }: { readonly key: string },
  ancestors: readonly Pick<SnapshotRow, "layerDigest" | "origin">[],
): RecordedStart {
  const lazy = ancestors.filter(({ layerDigest }) => layerDigest !== undefined);
  return {
    key,
    // The uppermost layer is the image's own, those below may have come with another one.
    reference: lazy[0]?.origin?.reference ?? "",
    manifest: lazy[0]?.origin?.manifest,
    layers: lazy.map(({ layerDigest }) => layerDigest!).reverse(),
  };
}
