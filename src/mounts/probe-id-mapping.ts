import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { LazuliError } from "../errors/index.js";
import { type IdMapping, idMappingOptions } from "./id-mapping.js";
import { mountAll, unmountAll } from "./mount-all.js";
import type { MountBinding } from "./mount-spec.js";

/** Whether trees of a file system can be shown with mapped owners. */
export type IdMappingSupport =
  | { readonly isSupported: true }
  | { readonly isSupported: false /** For people. */; readonly why: string };

const mapping: IdMapping = {
  uids: [{ inside: 0, outside: 100_000, size: 65_536 }],
  gids: [{ inside: 0, outside: 100_000, size: 65_536 }],
};

/** Tries it in a folder: an overlay over two mapped layers. */
export async function probeIdMapping(binding: MountBinding, folder: string): Promise<IdMappingSupport> {
  const scratch = await mkdtemp(join(folder, "idmap-probe-"));
  const target = join(scratch, "target");
  const lowers = [join(scratch, "one"), join(scratch, "two")];
  try {
    for (const path of [...lowers, target]) await mkdir(path);
    const options = [`lowerdir=${lowers.join(":")}`, ...idMappingOptions(mapping), "ro"];
    const mounts = [{ type: "overlay", source: "overlay", target: "", options }];
    await mountAll({ binding, mounts, target });
    await unmountAll({ binding, mounts, target });
    return { isSupported: true };
  } catch (thrown) {
    return { isSupported: false, why: LazuliError.from(thrown).message };
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}
