import type { Digest } from "../bytes/index.js";
import { assert } from "../errors/index.js";
import type { NativeBinding } from "../fuse/index.js";
import type { LayerOwner } from "../layer/index.js";
import type { Mount, SnapshotUsage } from "./contract.js";
import { type OverlayOptions, overlayMounts } from "./overlay.js";
import { SnapshotFolders } from "./snapshot-folders.js";
import type { SnapshotStorage, StorageOptions, StoredParent, StoredSnapshot } from "./storage.js";
import { finished } from "./tree-calls.js";

/** Parents that are layers of the engine. */
export interface MountedLayers {
  mountPoint(digest: Digest, options: StorageOptions): Promise<string>;
  rootOwner(digest: Digest): Promise<LayerOwner>;
}

export interface OverlayStorageOptions {
  /** Folder on a local file system that overlayfs takes as an upper layer. */
  readonly root: string;
  readonly overlay: OverlayOptions;
  readonly binding: Pick<NativeBinding, "fileSteps" | "trees">;
  /** syncfs(2) of the file system that holds a folder. */
  readonly syncFileSystem: (folder: string) => Promise<void>;
  /** undefined: no parent is a layer. */
  readonly layers?: MountedLayers | undefined;
}

/** Trees as upper layers for overlayfs, in containerd's places. @throws INVALID_ARGUMENT for an unusable root */
export async function createOverlayStorage(options: OverlayStorageOptions): Promise<OverlayStorage> {
  const { root, binding } = options;
  return new OverlayStorage(options, await SnapshotFolders.open({ root, binding }));
}

export class OverlayStorage implements SnapshotStorage {
  readonly #options: OverlayStorageOptions;
  readonly #folders: SnapshotFolders;

  constructor(options: OverlayStorageOptions, folders: SnapshotFolders) {
    this.#options = options;
    this.#folders = folders;
  }

  /** Where a snapshot's own files are. */
  upper(id: number): string {
    return this.#folders.upper(id);
  }

  async idTaken(): Promise<number> {
    return await this.#folders.idTaken();
  }

  async create({ id, kind, parents }: StoredSnapshot): Promise<Disposable> {
    // A view of a parent shows the parent: it needs no folder.
    if (kind === "view" && parents.length > 0) return { [Symbol.dispose]: () => undefined };
    const [parent] = parents;
    return await this.#folders.create({
      id,
      hasWork: kind === "active",
      owner: parent === undefined ? undefined : await this.#owner(parent),
    });
  }

  async mounts(snapshot: StoredSnapshot, options: StorageOptions = {}): Promise<readonly Mount[]> {
    const { id, kind, parents } = snapshot;
    const lowers = await Promise.all(parents.map(async (parent) => await this.#lower(parent, options)));
    return overlayMounts(
      {
        isActive: kind === "active",
        upper: this.#folders.upper(id),
        work: this.#folders.work(id),
        lowers,
      },
      this.#options.overlay,
    );
  }

  async usage({ id, kind }: StoredSnapshot, options: StorageOptions = {}): Promise<SnapshotUsage> {
    // A view has nothing of its own.
    if (kind !== "active") return { size: 0, inodes: 0 };
    return await this.#usage(id, options);
  }

  async commit({ id }: StoredSnapshot, options: StorageOptions = {}): Promise<SnapshotUsage> {
    const upper = this.#folders.upper(id);
    const usage = await this.#usage(id, options);
    // The row may not promise a layer whose bytes are still in memory.
    await this.#options.syncFileSystem(upper);
    return usage;
  }

  async remove(id: number, kindInUse: StoredSnapshot["kind"] | undefined): Promise<void> {
    if (kindInUse === undefined) await this.#folders.remove(String(id));
  }

  async removeUnknown(kindsInUse: () => ReadonlyMap<number, StoredSnapshot["kind"]>): Promise<void> {
    await this.#folders.removeUnknown(() => new Set([...kindsInUse().keys()].map(String)));
  }

  async close(): Promise<void> {
    // Nothing is open between calls.
  }

  async #usage(id: number, { signal }: StorageOptions): Promise<SnapshotUsage> {
    const { trees } = this.#options.binding;
    return await finished(() => trees.usage(this.#folders.upper(id)), signal);
  }

  async #lower(parent: StoredParent, options: StorageOptions): Promise<string> {
    if (parent.layer === undefined) return this.#folders.upper(parent.id);
    return await this.#layers().mountPoint(parent.layer, options);
  }

  /** Never by a look at the mount of a layer: the answer may need this very thread. */
  async #owner(parent: StoredParent): Promise<LayerOwner> {
    if (parent.layer === undefined) return await this.#folders.owner(parent.id);
    return await this.#layers().rootOwner(parent.layer);
  }

  #layers(): MountedLayers {
    const { layers } = this.#options;
    assert(layers !== undefined, "a snapshot that is a layer is made where layers are");
    return layers;
  }
}
