import { join } from "node:path";
import type { NativeBinding } from "../fuse/index.js";
import { log } from "../observe/index.js";
import { mountsBelow } from "./mount-table.js";
import { statePaths } from "./paths.js";
import { detach } from "./unmount.js";

/**
 * Detaches what an earlier process left mounted below the state folder, whose server is gone. Mounts of complete
 * layers need no server: they stay. Returns the numbers of their layers.
 * @param metaPaths The meta image of each layer that is known, by number
 */
export async function clearStaleMounts(options: {
  readonly binding: Pick<NativeBinding, "umount">;
  readonly state: string;
  readonly metaPaths: ReadonlyMap<number, string>;
}): Promise<Set<number>> {
  const { binding, state, metaPaths } = options;
  const paths = statePaths(state);
  const kept = new Map<string, number>();
  for (const [number] of metaPaths) kept.set(join(paths.layers, `${number}c`), number);
  const local = new Set<number>();
  for (const entry of (await mountsBelow(state)).reverse()) {
    const number = kept.get(entry.target);
    if (number !== undefined && entry.type === "erofs" && entry.source === metaPaths.get(number)) {
      local.add(number);
      continue;
    }
    if (!isOurs(entry.target, paths)) continue;
    await detach(binding, entry.target).catch((thrown: unknown) => {
      log.warn("Cannot detach a mount that an earlier process left", {
        path: entry.target,
        error: String(thrown),
      });
    });
  }
  return local;
}

function isOurs(target: string, paths: ReturnType<typeof statePaths>): boolean {
  return (
    target === paths.data || target.startsWith(`${paths.layers}/`) || target.startsWith(`${paths.probe}/`)
  );
}
