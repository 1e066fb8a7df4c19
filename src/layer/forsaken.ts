import { readFile } from "node:fs/promises";
import { LazuliError } from "../errors/index.js";
import type { LayerMounts } from "./layer-mounts.js";
import { parseLayersInUse } from "./layers-in-use.js";
import { parseMountInfo } from "./mount-table.js";
import { statePaths } from "./paths.js";

/**
 * Whether a layer that could not be mounted has a damaged tree, and nobody reads through this process what it had before:
 * then it may go, and be made again.
 */
export async function isForsaken(
  thrown: unknown,
  layer: { readonly number: number; readonly mounts: LayerMounts; readonly state: string },
): Promise<boolean> {
  if (LazuliError.from(thrown).reason !== "meta-damaged") return false;
  const { number, mounts, state } = layer;
  if (!mounts.isThroughFuse) return true;
  const text = await readFile("/proc/self/mountinfo", "utf8");
  if (parseLayersInUse(text, statePaths(state).layers).has(number)) return false;
  const entries = parseMountInfo(text);
  const own = entries.filter(({ target }) => mounts.places.includes(target));
  const devices = new Set(own.map(({ device }) => device));
  // Other places of the same file system: clones with mapped owners, and what clients bound.
  return entries.filter(({ device }) => devices.has(device)).length === own.length;
}
