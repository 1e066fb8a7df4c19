import { join } from "node:path";
import { type Digest, digestFileName } from "../bytes/index.js";

/**
 * Where everything of the engine lies. Nothing else in the project builds these names.
 *
 *     <root>/layers/v1/<algorithm>-<hex>/
 *         layer.json    facts, see layer-record.ts
 *         units.bin     the data map, see src/units
 *         meta.erofs    the tree
 *         data          sparse: verified bytes of the units
 *         windows       of a layer with spans of deflate: what each may refer back to
 *         table         of one that we indexed, with such spans: our index, which tells where windows are to be had
 *         sums          digests of decoded units, where the index has only those of the blob, see sums-file.ts
 *         bitmap        units that are in `data` and synced, see bitmap-file.ts
 *         decoded       while it is made: what a blob decodes to that can't be decoded in parts, see decoded-source.ts
 *     <root>/layers/v1/new-*     a layer that is being made; deleted at the next start
 *     <root>/layers/v1/gone-*    a layer that is being deleted; deleted at the next start
 *     <state>/data               the flat FUSE mount
 *     <state>/layers/<number>    a layer, through FUSE
 *     <state>/layers/<number>c   a complete layer, on its local data file
 *     <state>/probe              where the ladder is tried at start
 */
export interface LayerPaths {
  readonly folder: string;
  readonly record: string;
  readonly units: string;
  readonly meta: string;
  readonly data: string;
  readonly bitmap: string;
  readonly windows: string;
  readonly table: string;
  readonly sums: string;
  readonly decoded: string;
}

export interface StatePaths {
  readonly data: string;
  readonly layers: string;
  readonly probe: string;
}

export const NEW_PREFIX = "new-";
export const GONE_PREFIX = "gone-";

export function layersFolder(root: string): string {
  return join(root, "layers", "v1");
}

export function layerPaths(root: string, digest: Digest): LayerPaths {
  return pathsIn(join(layersFolder(root), digestFileName(digest)));
}

export function pathsIn(folder: string): LayerPaths {
  return {
    folder,
    record: join(folder, "layer.json"),
    units: join(folder, "units.bin"),
    meta: join(folder, "meta.erofs"),
    data: join(folder, "data"),
    bitmap: join(folder, "bitmap"),
    windows: join(folder, "windows"),
    table: join(folder, "table"),
    sums: join(folder, "sums"),
    decoded: join(folder, "decoded"),
  };
}

export function statePaths(state: string): StatePaths {
  return { data: join(state, "data"), layers: join(state, "layers"), probe: join(state, "probe") };
}

/** Where a layer is mounted: through FUSE, or on its local data file. */
export function layerMountPath(state: string, number: number, kind: "fuse" | "local"): string {
  return join(statePaths(state).layers, kind === "local" ? `${number}c` : String(number));
}
