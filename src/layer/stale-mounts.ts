import type { NativeBinding } from "../fuse/index.js";
import { log } from "../observe/index.js";
import { type MountEntry, mountsBelow } from "./mount-table.js";
import { statePaths } from "./paths.js";
import type { StoredSessions } from "./sessions.js";
import { detach } from "./unmount.js";

/** Mounts of an earlier process that go on. */
export interface LivingMounts {
  /** Numbers of layers that are mounted on their local data. */
  readonly local: ReadonlySet<number>;
  /** Numbers of layers that are mounted through FUSE. */
  readonly fuse: ReadonlySet<number>;
  /** The flat mount is in its place. */
  readonly hasFlat: boolean;
}

/**
 * Detaches what an earlier process left mounted below the state folder, whose server is gone. Mounts of complete
 * layers need no server, and those of stored sessions get one: they stay.
 */
export async function clearStaleMounts(options: {
  readonly binding: Pick<NativeBinding, "umount">;
  readonly state: string;
  /** The meta image of each layer that is known, by number. */
  readonly metaPaths: ReadonlyMap<number, string>;
  readonly stored: StoredSessions;
}): Promise<LivingMounts> {
  const { binding, state, metaPaths, stored } = options;
  const paths = statePaths(state);
  const local = new Set<number>();
  const fuse = new Set<number>();
  let hasFlat = false;
  for (const entry of (await mountsBelow(state)).reverse()) {
    const place = layerPlace(entry.target, paths.layers);
    if (place !== undefined) {
      const kept = place.isLocal ? local : fuse;
      const isErofs = entry.type === "erofs" && entry.source === metaPaths.get(place.number);
      const isServed = place.isLocal || stored.flats.length > 0;
      const tree = place.isLocal ? undefined : stored.trees.get(place.number);
      const isTree = tree?.device === entry.device && metaPaths.has(place.number);
      if (!kept.has(place.number) && ((isErofs && isServed) || isTree)) {
        kept.add(place.number);
        continue;
      }
    }
    if (!hasFlat && entry.target === paths.data && isStoredFlat(entry, stored)) {
      hasFlat = true;
      continue;
    }
    if (isOurs(entry.target, paths)) await detachStale(binding, entry.target);
  }
  return { local, fuse, hasFlat };
}

/** Detaches a mount that nobody needs; a failure is told. */
export async function detachStale(binding: Pick<NativeBinding, "umount">, target: string): Promise<void> {
  await detach(binding, target).catch((thrown: unknown) => {
    log.warn("Cannot detach a mount that an earlier process left", { path: target, error: String(thrown) });
  });
}

/** `<layers>/12` or `<layers>/12c`. */
export function layerPlace(
  target: string,
  layers: string,
): { readonly number: number; readonly isLocal: boolean } | undefined {
  if (!target.startsWith(`${layers}/`)) return undefined;
  const match = /^(\d+)(c?)$/.exec(target.slice(layers.length + 1));
  return match === null ? undefined : { number: Number(match[1]), isLocal: match[2] === "c" };
}

function isStoredFlat(entry: MountEntry, stored: StoredSessions): boolean {
  return stored.flats.some(({ device }) => device === entry.device);
}

function isOurs(target: string, paths: ReturnType<typeof statePaths>): boolean {
  return (
    target === paths.data || target.startsWith(`${paths.layers}/`) || target.startsWith(`${paths.probe}/`)
  );
}
