/**
 * The TypeScript half of the data plane: loads the native addon (native/) and mounts its FUSE sessions.
 *
 *     const binding = loadBinding();
 *     const plane = new binding.Plane({ fuseThreads: 4, workerThreads: 2, waitingReadsMax: 4096, onMiss, onInterrupt, onDamaged, onRefused });
 *     const fuseFd = binding.openFuse();
 *     const session = plane.openSession({ kind: sessionKinds.flat, layer: 0, fuseFd, adopted: false });
 *     await mountFuse({ binding, fuseFd, target: "/run/lazuli/data", kind: sessionKinds.flat });
 *
 * A `DescriptorStore` holds copies of descriptors outside of the process: after its death readers wait, and the next
 * process takes the copy and opens a session with `adopted: true`.
 *
 * The plane owns `fuseFd` once `openSession` has returned. Whoever opens a plane closes it: it keeps the process alive.
 *
 * Deadlocks. This process serves the mounts, and a read of a missing unit is answered only after its JS thread has run.
 * 1. Never stat, open, read, list or watch a path below one of our mounts with `node:fs`, sync or async: the sync call
 *    blocks the thread that would answer, and four async ones fill libuv's pool that the cache files need.
 * 2. The same holds for what touches a mount on the way: `realpath` and `access` of a path behind it, `statfs`, `rm -r`
 *    of a folder that holds it. Unmount first.
 * 3. mount(2) of EROFS or overlayfs on top reads our mount: `binding.mount` runs off the JS thread and must not be
 *    awaited by what the answer needs (a lock that the fetch of a unit takes, a queue it waits in).
 * 4. Nothing that a fetch needs may itself live on a lazy mount: the data files, the metadata, `hosts.toml`, CA bundles.
 * 5. The data file must not be opened through the mount that it backs.
 * 6. No child may inherit `/dev/fuse`: after our death readers would hang in D instead of getting ENOTCONN. All of the
 *    plane's descriptors are close-on-exec.
 * 7. `close()` and `closeSession()` answer waiting reads with EIO, but a reader that starts later waits for the fd's last
 *    owner: detach the mount before.
 */
export {
  type CancellableCall,
  type FileStep,
  type IngestOptions,
  type Miss,
  type NativeBinding,
  type NativeBtrfs,
  type NativeLayerOptions,
  type NativePlane,
  type NativeTrees,
  type NativeUsage,
  type PlaneOptions,
  type PlaneStats,
  type Refusal,
  refusalReasons,
  type SessionOptions,
  sessionKinds,
  unitOutcomes,
  useGroupBytes,
} from "./binding.js";
export type { DescriptorStore, StoredDescriptor } from "./descriptor-store.js";
export { endKeeper, type KeeperStoreOptions, openKeeperStore } from "./keeper-store.js";
export { loadBinding } from "./load-binding.js";
export { type FuseMountOptions, mountFuse, unmountFuse } from "./mount-fuse.js";
export type { NativeContainers } from "./native-containers.js";
export type {
  AssembleArchiveOptions,
  NativeLayerFiles,
  TreeChangesOptions,
  UnpackLayerOptions,
} from "./native-layer-files.js";
export type { NativeIdRange, NativeMounts } from "./native-mounts.js";
export type { NativeProjectQuotas, NativeProjectUsage } from "./native-project-quotas.js";
export {
  type IndexedStream,
  type NativeStreamIndexer,
  type StreamIndexerOptions,
  type StreamReason,
  streamReasons,
} from "./native-stream-indexer.js";
export { hasSystemdStore, openSystemdStore, type SystemdEnvironment } from "./systemd-store.js";
