/**
 * Mounts containerd's lists of mounts, and maps the owners of trees for user namespaces.
 *
 *     await mountAll({ binding, mounts: await snapshotter.mounts(key), target, signal });
 *     await unmountAll({ binding, target });
 *
 *     const mapped = await idmappedLowers({ binding, folder: "/run/lazuli/mapped" });
 *     await mapped.reconcile(claimsOfAllSnapshots);
 *     const paths = await mapped.claim({ holder: "12", lowers, mapping, signal });
 *     await mapped.release("12");
 *
 *     const manager = await openMountManager({ binding, folder: "/run/lazuli/activations", roots: [], now });
 *     const { system } = await manager.activate({ namespace, name, labels: {}, mounts });
 *     await manager.deactivate({ namespace, name });
 *
 * A mount is made where nobody sees it, gets its flags and its mapping, and is attached in one step. Kernels that lack
 * the calls for it get mount(2).
 */
export type {
  ActivateMounts,
  Activation,
  ActivationName,
  ActiveMount,
  HeldActivation,
} from "./activation.js";
export {
  type IdMapping,
  type IdRange,
  idMappingOptions,
  idRangesText,
  mapId,
  parseIdRanges,
} from "./id-mapping.js";
export {
  type ClaimOptions,
  type IdMappedLowers,
  type IdMappedLowersOptions,
  idmappedLowers,
  type MappedLowersClaim,
} from "./idmapped-lowers.js";
export { mappedRoot } from "./map-ids.js";
export { type MountAllOptions, mountAll, type UnmountAllOptions, unmountAll } from "./mount-all.js";
export { type MountInfo, parseMountInfo, readMountInfo } from "./mount-info.js";
export { type MountManager, type MountManagerOptions, openMountManager } from "./mount-manager.js";
export type { MountBinding, MountSpec } from "./mount-spec.js";
export { type IdMappingSupport, probeIdMapping } from "./probe-id-mapping.js";
export { type RemapTreeOptions, type RemapUpperOptions, remapIntoUpper, remapTree } from "./remap-tree.js";
