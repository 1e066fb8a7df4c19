import { applyLayer } from "./apply-layer.js";
import { type CompareParts, compareTrees } from "./compare-trees.js";
import type { LayerDiffer } from "./contract.js";
import { openScratch } from "./scratch-file.js";

/** Its scratch folder is emptied first: it must be of nobody else, and hold no mounts. */
export async function createLayerDiffer(parts: CompareParts): Promise<LayerDiffer> {
  await openScratch(parts.scratch);
  return {
    apply: async (request) => await applyLayer(parts, request),
    compare: async (request) => await compareTrees(parts, request),
  };
}
