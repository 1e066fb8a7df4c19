import type { LayerIndexSource } from "../layer/index.js";

/** Whether the engine fetches all bytes of a layer that is indexed so, at once or where its index is not there. */
export function mayBecomeWhole(index: LayerIndexSource): boolean {
  if (index.kind === "whole") return true;
  if (index.kind !== "soci" && index.kind !== "fine") return false;
  return index.otherwise !== undefined && mayBecomeWhole(index.otherwise);
}
