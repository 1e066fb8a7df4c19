import { readFile } from "node:fs/promises";
import type { MountSpec } from "../mounts/index.js";
import { optionOf } from "./temporary-mount.js";

/** Where overlayfs keeps what one layer changes, and the layers below it, uppermost first. */
export interface OverlayPlaces {
  readonly upper: string;
  readonly lowers: readonly string[];
}

const INDEX_DEFAULT = "/sys/module/overlay/parameters/index";

/** Of a single overlay that can be written to; undefined for all else. */
export function overlayPlaces(mounts: readonly MountSpec[]): OverlayPlaces | undefined {
  const [mount] = mounts;
  if (mounts.length !== 1 || mount?.type !== "overlay") return undefined;
  const upper = optionOf(mount, "upperdir");
  return upper === undefined ? undefined : { upper, lowers: lowersOf(mount) };
}

/**
 * The one layer that `upper` has above those of `lower`: what it does not name can't have changed. undefined where the
 * mounts don't say so, or where one file may have more names than the layer shows (overlayfs' index).
 */
export async function changedLayer(
  lower: readonly MountSpec[],
  upper: readonly MountSpec[],
): Promise<string | undefined> {
  const [above] = upper;
  if (upper.length !== 1 || above?.type !== "overlay") return undefined;
  const layers = [
    ...(overlayPlaces(upper) === undefined ? [] : [optionOf(above, "upperdir")!]),
    ...lowersOf(above),
  ];
  const below = layersOf(lower);
  const isOneAbove =
    below !== undefined &&
    layers.length === below.length + 1 &&
    below.every((layer, index) => layer === layers[index + 1]);
  if (!isOneAbove || !(await isWithoutIndex(above))) return undefined;
  return layers[0];
}

function layersOf(mounts: readonly MountSpec[]): readonly string[] | undefined {
  const [mount] = mounts;
  if (mounts.length !== 1 || mount === undefined) return undefined;
  if (mount.type === "bind") return [mount.source];
  if (mount.type !== "overlay" || optionOf(mount, "upperdir") !== undefined) return undefined;
  return lowersOf(mount);
}

/** A path with an escaped colon is told from no other: it is split wrong, equal to nothing, and found nowhere. */
function lowersOf(mount: MountSpec): readonly string[] {
  const value = optionOf(mount, "lowerdir") ?? "";
  return value === "" || value.includes("\\") ? [] : value.split(":").filter((path) => path !== "");
}

async function isWithoutIndex(mount: MountSpec): Promise<boolean> {
  if (mount.options.includes("index=off")) return true;
  if (mount.options.includes("index=on")) return false;
  // A kernel without the parameter has no index.
  return (await readFile(INDEX_DEFAULT, "utf8").catch(() => "N")).trim() === "N";
}
