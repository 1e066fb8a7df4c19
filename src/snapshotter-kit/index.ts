/**
 * What a snapshotter of one's own is made of; other programs import it as `lazuli/snapshotter` (docs/extending.md).
 *
 *     const metadata = await openMetadata({ directory: `${root}/metadata` });
 *     const snapshotter = await createStoredSnapshotter({ name: "mine", metadata, storage, now });
 *     const server = await serveSnapshotter(snapshotter, { socket: "/run/mine/snapshotter.sock" });
 */
export {
  alreadyExists,
  type ErrorCode,
  type ErrorOptions,
  failedPrecondition,
  invalidArgument,
  LazuliError,
  notFound,
  resourceExhausted,
  unavailable,
  unimplemented,
} from "../errors/index.js";
export { type Metadata, openMetadata } from "../metadata/index.js";
export type { GrpcServer } from "../services/index.js";
export {
  type CommitSnapshot,
  type CreateSnapshot,
  createProxySnapshotter,
  createStoredSnapshotter,
  type Mount,
  type Nanoseconds,
  type ProxyContext,
  type ProxySnapshotter,
  type ProxySnapshotterOptions,
  type SnapshotInfo,
  type SnapshotKind,
  type SnapshotStorage,
  type Snapshotter,
  type SnapshotUsage,
  type StorageOptions,
  type StoredParent,
  type StoredSnapshot,
  type StoredSnapshotter,
  type StoredSnapshotterOptions,
  snapshotKinds,
  type UpdateSnapshot,
} from "../snapshotters/index.js";
export { healthService } from "./health-service.js";
export { type ServeSnapshotterOptions, serveSnapshotter } from "./serve-snapshotter.js";
export { now, syncFileSystem } from "./system.js";
