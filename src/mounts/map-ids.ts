import { failedPrecondition, type LazuliError } from "../errors/index.js";
import { type IdMapping, type IdRange, mapId } from "./id-mapping.js";
import { isMissingCall } from "./mount-error.js";
import { MOUNT_ATTR_IDMAP } from "./mount-flags.js";
import type { MountBinding } from "./mount-spec.js";
import type { OpenFiles } from "./open-files.js";

/** A user namespace that has these maps; `files` keeps it. */
export async function openUserNamespace(
  binding: MountBinding,
  mapping: IdMapping,
  files: OpenFiles,
): Promise<number> {
  return files.keep(await binding.mounts.userNamespace(mapText(mapping.uids), mapText(mapping.gids)));
}

/** The form of /proc/<pid>/uid_map. */
function mapText(ranges: readonly IdRange[]): string {
  return ranges.map(({ inside, outside, size }) => `${inside} ${outside} ${size}\n`).join("");
}

/**
 * A copy of a mount, nowhere yet, that will be mapped; `files` keeps it.
 * @throws FAILED_PRECONDITION `idmap-unsupported` where the kernel has no such mounts
 */
export async function cloneForMapping(
  binding: MountBinding,
  options: { readonly path: string; readonly isRecursive: boolean; readonly files: OpenFiles },
): Promise<number> {
  const { path, isRecursive, files } = options;
  try {
    return files.keep(await binding.mounts.clone(path, isRecursive));
  } catch (thrown) {
    throw isMissingCall(thrown) ? idMappingUnsupported(path, thrown) : thrown;
  }
}

export interface MapIdsOptions {
  readonly mountFd: number;
  readonly userNamespaceFd: number;
  readonly isRecursive: boolean;
  /** What is mounted, for people. */
  readonly source: string;
}

/**
 * Lets a mount that is nowhere yet show mapped owners.
 * @throws FAILED_PRECONDITION `idmap-unsupported` where the kernel or the file system can't
 */
export async function mapIds(binding: MountBinding, options: MapIdsOptions): Promise<void> {
  const { mountFd, userNamespaceFd, isRecursive, source } = options;
  try {
    await binding.mounts.setAttributes(mountFd, MOUNT_ATTR_IDMAP, userNamespaceFd, isRecursive);
  } catch (thrown) {
    throw idMappingUnsupported(source, thrown);
  }
}

export function idMappingUnsupported(source: string, cause: unknown): LazuliError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return failedPrecondition(`Cannot map the ids of ${source}: want an idmapped mount, got ${why}`, {
    subject: source,
    reason: "idmap-unsupported",
    hint: 'It needs Linux 5.12, for overlayfs 5.19, for FUSE 6.12; id_mapping = "chown" copies and changes owners instead',
    cause,
  });
}

/** The owner on the host of what user 0 and group 0 of the mapping own. @throws FAILED_PRECONDITION `id-unmapped` */
export function mappedRoot(mapping: IdMapping): { readonly uid: number; readonly gid: number } {
  const uid = mapId(mapping.uids, 0);
  const gid = mapId(mapping.gids, 0);
  if (uid === undefined || gid === undefined) {
    const missing = uid === undefined ? "uid" : "gid";
    throw failedPrecondition(`Cannot give a tree to root: want ${missing} 0 in the mapping, got none`, {
      reason: "id-unmapped",
    });
  }
  return { uid, gid };
}
