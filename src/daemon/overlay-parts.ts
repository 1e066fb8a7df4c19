import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { NativeBinding } from "../fuse/index.js";
import {
  detectOverlay,
  type IdMappingMode,
  type OverlayIdMapping,
  type OverlayOptions,
  openOverlayIdMapping,
  openProjectQuota,
  type ProjectQuota,
} from "../snapshotters/index.js";

/** What any client can use. */
const ID_MAPPING_DEFAULT: IdMappingMode = "mounts";

export interface OverlayPartsOptions {
  readonly binding: NativeBinding;
  /** Where the trees are; made when it is missing. */
  readonly root: string;
  /** The node's state folder. */
  readonly state: string;
  /** Name of a snapshotter; undefined: the lazy one. */
  readonly name: string | undefined;
  readonly mountOptions: readonly string[];
  readonly idMapping: IdMappingMode | undefined;
  readonly defaultQuotaBytes: number | undefined;
}

/** What the snapshotters on overlayfs have beside their trees. */
export interface OverlayParts {
  readonly overlay: OverlayOptions;
  readonly idMapping: OverlayIdMapping;
  readonly quota: ProjectQuota;
  /** In containerd's words. */
  readonly capabilities: readonly string[];
}

/** @throws FAILED_PRECONDITION `project-quota-missing` */
export async function openOverlayParts(options: OverlayPartsOptions): Promise<OverlayParts> {
  const { binding, root, state, name, mountOptions, defaultQuotaBytes } = options;
  await mkdir(root, { recursive: true, mode: 0o700 });
  const overlay = await detectOverlay(mountOptions);
  const idMapping = await openOverlayIdMapping({
    binding,
    root,
    // A snapshotter may have any name, the lazy one's too.
    folder: join(state, "idmapped", ...(name === undefined ? ["lazy"] : ["snapshotters", name])),
    mode: options.idMapping ?? ID_MAPPING_DEFAULT,
  });
  const quota = await openProjectQuota({
    quotas: binding.projectQuotas,
    folder: root,
    defaultBytes: defaultQuotaBytes,
  });
  // A layer without its parents needs the device that says "deleted below", which nobody makes in a user namespace. And
  // a client that names parents at the commit, since it may, would get no lazy layers.
  const isRebasing = name !== undefined && !overlay.isUserxattr;
  return {
    overlay,
    idMapping,
    quota,
    capabilities: [...(isRebasing ? ["rebase"] : []), ...idMapping.capabilities],
  };
}
