import type { NativeBinding } from "../fuse/index.js";
import { log } from "../observe/index.js";
import type { Layer } from "./layer.js";
import { type Rung, replaceFlatMount } from "./mount-ladder.js";
import { mountsBelow } from "./mount-table.js";
import { statePaths } from "./paths.js";
import type { Sessions } from "./sessions.js";
import { detachStale, layerPlace } from "./stale-mounts.js";

/**
 * Compares what is mounted with what this process believes: mounts that somebody took away are made anew for their next
 * user, and those of layers that are gone are detached. Reads mountinfo only, so that it waits for no mount.
 */
export async function reconcileMounts(options: {
  readonly binding: NativeBinding;
  readonly state: string;
  readonly sessions: Sessions;
  readonly rung: Rung;
  /** Layers are mounted on the flat mount. */
  readonly hasFlat: boolean;
  readonly layers: () => readonly Layer[];
}): Promise<void> {
  const { binding, state, hasFlat } = options;
  const paths = statePaths(state);
  // Before the look: what is mounted during it may be missing in what it sees.
  const believed = options
    .layers()
    .flatMap(({ mounts }) => mounts.places.map((place) => ({ mounts, place })));
  const mounted = new Set((await mountsBelow(state)).map(({ target }) => target));
  for (const { mounts, place } of believed) {
    if (mounted.has(place)) continue;
    log.warn("A layer's mount was taken away by somebody; the next user gets a new one", { path: place });
    await mounts.lost(place);
  }
  // After the look: layers that came meanwhile are known.
  const numbers = new Set(options.layers().map(({ record }) => record.number));
  for (const target of mounted) {
    const place = layerPlace(target, paths.layers);
    if (place === undefined || numbers.has(place.number)) continue;
    log.warn("Detached the mount of a layer that is gone", { path: target });
    await detachStale(binding, target);
  }
  if (!hasFlat || mounted.has(paths.data)) return;
  log.warn("The flat mount was taken away by somebody; made it anew", { path: paths.data });
  await replaceFlatMount(options);
}
