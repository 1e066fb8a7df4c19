import { failedPrecondition } from "../errors/index.js";
import type { NativeBinding } from "../fuse/index.js";
import type { Metadata } from "../metadata/index.js";
import { detectOverlay, type OverlayOptions } from "./overlay.js";
import type { OverlayIdMapping } from "./overlay-id-mapping.js";
import { createOverlayStorage } from "./overlay-storage.js";
import type { ProjectQuota } from "./project-quota.js";
import { createStoredSnapshotter, type StoredSnapshotter } from "./stored-snapshotter.js";

export interface OverlayfsSnapshotterOptions {
  /** Keeps this snapshotter's rows apart from others' in the same metadata. */
  readonly name: string;
  /** Folder on a local file system that overlayfs takes as an upper layer. */
  readonly root: string;
  readonly binding: Pick<NativeBinding, "fileSteps" | "trees">;
  readonly metadata: Metadata;
  /** The system's clock in nanoseconds since 1970. */
  readonly now: () => bigint;
  /** syncfs(2) of the file system that holds a folder. */
  readonly syncFileSystem: (folder: string) => Promise<void>;
  /** Default: what this kernel needs. */
  readonly overlay?: OverlayOptions | undefined;
  /** Whether a tree goes when `remove` is called, or at the next `cleanup`. Default: at cleanup, as containerd's. */
  readonly removal?: "at-once" | "at-cleanup" | undefined;
  /** Shows where a snapshot's own files are, by the label `containerd.io/snapshot/overlay.upperdir`. */
  readonly showsUpper?: boolean | undefined;
  /** Default: a snapshot whose labels ask for the owners of a user namespace is refused. */
  readonly idMapping?: OverlayIdMapping | undefined;
  /** Default: labels that ask for a limit are ignored. */
  readonly quota?: ProjectQuota | undefined;
}

const UPPER_LABEL = "containerd.io/snapshot/overlay.upperdir";

/** containerd's overlayfs snapshotter (plugins/snapshots/overlay). @throws INVALID_ARGUMENT for an unusable root */
export async function createOverlayfsSnapshotter(
  options: OverlayfsSnapshotterOptions,
): Promise<StoredSnapshotter> {
  const { name, metadata, now, removal, showsUpper = false } = options;
  if (name === "")
    throw failedPrecondition("Cannot open a snapshotter: want a name", { reason: "name-missing" });
  const overlay = options.overlay ?? (await detectOverlay());
  const storage = await createOverlayStorage({ ...options, overlay });
  const snapshotter = await createStoredSnapshotter({
    name,
    metadata,
    storage,
    now,
    rebases: true,
    ...(removal === undefined ? {} : { removal }),
    ...(showsUpper ? { shownLabels: ({ id }) => ({ [UPPER_LABEL]: storage.upper(id) }) } : {}),
  });
  await storage.reconcile(snapshotter.table.rows().map((row) => snapshotter.stored(row)));
  return snapshotter;
}
