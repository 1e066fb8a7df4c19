import { access } from "node:fs/promises";
import type { Digest } from "../bytes/index.js";
import { assert } from "../errors/index.js";
import type { NativeBinding } from "../fuse/index.js";
import type { LayerOwner } from "../layer/index.js";
import { type IdMapping, type MappedLowersClaim, mappedRoot } from "../mounts/index.js";
import type { Mount, SnapshotUsage } from "./contract.js";
import { idMappingOf } from "./id-mapping.js";
import { type OverlayOptions, overlayMounts } from "./overlay.js";
import { type OverlayIdMapping, unmappable } from "./overlay-id-mapping.js";
import type { ProjectQuota } from "./project-quota.js";
import { SnapshotFolders } from "./snapshot-folders.js";
import type { SnapshotStorage, StorageOptions, StoredParent, StoredSnapshot } from "./storage.js";
import { finished } from "./tree-calls.js";

/** Parents that are layers of the engine. */
export interface MountedLayers {
  mountPoint(digest: Digest, options: StorageOptions): Promise<string>;
  rootOwner(digest: Digest, options: StorageOptions): Promise<LayerOwner>;
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
  /** undefined: a snapshot whose labels ask for other owners is refused. */
  readonly idMapping?: OverlayIdMapping | undefined;
  /** undefined: labels that ask for a limit are ignored. */
  readonly quota?: ProjectQuota | undefined;
}

/** Trees as upper layers for overlayfs, in containerd's places. @throws INVALID_ARGUMENT for an unusable root */
export async function createOverlayStorage(options: OverlayStorageOptions): Promise<OverlayStorage> {
  const { root, binding, quota } = options;
  const folders = await SnapshotFolders.open({
    root,
    binding,
    ...(quota === undefined ? {} : { beforeRemoval: (upper) => quota.forget(upper) }),
  });
  return new OverlayStorage(options, folders);
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

  async create(snapshot: StoredSnapshot, options: StorageOptions = {}): Promise<Disposable> {
    const { id, kind, labels, parents } = snapshot;
    const mapping = this.#mappingOf(labels);
    const owner = await this.#owner(mapping, parents[0], options);
    const isCopied = mapping !== undefined && parents.length > 0 && this.#options.idMapping?.mode === "chown";
    // A view of a parent shows the parent: it needs no folder.
    if (kind === "view" && parents.length > 0 && !isCopied) return { [Symbol.dispose]: () => undefined };
    const limitBytes = kind === "active" ? this.#options.quota?.limitOf(labels) : undefined;
    const isPlain = !isCopied && limitBytes === undefined;
    return await this.#folders.create({
      id,
      hasWork: kind === "active",
      owner,
      ...(isPlain
        ? {}
        : {
            fill: async () => {
              if (limitBytes !== undefined) await this.#limit(id, limitBytes);
              if (isCopied) await this.#copy(snapshot, mapping, options);
            },
          }),
    });
  }

  async mounts(snapshot: StoredSnapshot, options: StorageOptions = {}): Promise<readonly Mount[]> {
    const { id, kind, labels, parents } = snapshot;
    const mapping = this.#mappingOf(labels);
    const own = await Promise.all(parents.map(async (parent) => await this.#lower(parent, options)));
    const isTold = this.#options.idMapping?.mode === "options";
    const lowers =
      mapping === undefined || isTold ? own : await this.#mapped({ id, lowers: own, mapping }, options);
    return overlayMounts(
      {
        isActive: kind === "active",
        upper: this.#folders.upper(id),
        work: this.#folders.work(id),
        lowers,
        ...(isTold ? { idMapping: mapping } : {}),
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
    // Should it stay active after all, its next mounts claim them again.
    await this.#options.idMapping?.release(id);
    return usage;
  }

  async remove(id: number, kindInUse: StoredSnapshot["kind"] | undefined): Promise<void> {
    if (kindInUse !== undefined) return;
    await this.#options.idMapping?.release(id);
    await this.#folders.remove(String(id));
  }

  async removeUnknown(kindsInUse: () => ReadonlyMap<number, StoredSnapshot["kind"]>): Promise<void> {
    // Before the layers below them go.
    await this.#options.idMapping?.releaseOthers(() => mountableIds(kindsInUse()));
    await this.#folders.removeUnknown(() => new Set([...kindsInUse().keys()].map(String)));
  }

  /**
   * After a start: keeps what an earlier process mounted for these snapshots, and takes away the rest. Layers of the
   * engine are mounted anew after a start: they are claimed again when they are asked for.
   */
  async reconcile(snapshots: readonly StoredSnapshot[]): Promise<void> {
    const { idMapping } = this.#options;
    if (idMapping === undefined) return;
    const claims = new Map<number, MappedLowersClaim>();
    for (const { id, kind, labels, parents } of snapshots) {
      if (!isMountable(kind) || idMapping.mode === "options") continue;
      const mapping = idMappingOf(labels);
      const trees = parents.filter(({ layer }) => layer === undefined);
      if (mapping === undefined || trees.length === 0) continue;
      claims.set(id, { mapping, lowers: trees.map((tree) => this.#folders.upper(tree.id)) });
    }
    await idMapping.reconcile(claims);
  }

  async close(): Promise<void> {
    // Nothing is open between calls; mapped layers stay for those who are about to mount them.
  }

  async #mapped(
    claim: MappedLowersClaim & { readonly id: number },
    { signal }: StorageOptions,
  ): Promise<readonly string[]> {
    const { idMapping } = this.#options;
    assert(idMapping !== undefined, "a mapping was read where there are none");
    const { id, lowers } = claim;
    if (lowers.length === 0) return [];
    if (idMapping.mode === "chown" && (await isThere(this.#folders.copy(id)))) {
      return [this.#folders.copy(id), ...lowers];
    }
    return await idMapping.claim({ ...claim, signal });
  }

  async #limit(id: number, bytes: number): Promise<void> {
    await this.#options.quota?.limit([this.#folders.upper(id), this.#folders.work(id)], bytes);
  }

  async #copy({ id, parents }: StoredSnapshot, mapping: IdMapping, options: StorageOptions): Promise<void> {
    const { binding, idMapping, syncFileSystem } = this.#options;
    const [upper, work] = [this.#folders.copy(id), this.#folders.copyWork(id)];
    await binding.fileSteps([
      { kind: "makeFolder", path: upper, mode: 0o755 },
      { kind: "makeFolder", path: work, mode: 0o711 },
    ]);
    const lowers = await Promise.all(parents.map(async (parent) => await this.#lower(parent, options)));
    await idMapping?.copy({ id, mapping, lowers, upper, work, signal: options.signal });
    await binding.trees.remove(work);
    await syncFileSystem(upper);
  }

  #mappingOf(labels: Readonly<Record<string, string>>): IdMapping | undefined {
    const { idMapping } = this.#options;
    if (idMapping !== undefined) return idMapping.mappingOf(labels);
    if (idMappingOf(labels) !== undefined) throw unmappable("want a state folder to mount in, got none");
    return undefined;
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
  async #owner(
    mapping: IdMapping | undefined,
    parent: StoredParent | undefined,
    options: StorageOptions,
  ): Promise<LayerOwner | undefined> {
    if (mapping !== undefined) return mappedRoot(mapping);
    if (parent === undefined) return undefined;
    if (parent.layer === undefined) return await this.#folders.owner(parent.id);
    return await this.#layers().rootOwner(parent.layer, options);
  }

  #layers(): MountedLayers {
    const { layers } = this.#options;
    assert(layers !== undefined, "a snapshot that is a layer is made where layers are");
    return layers;
  }
}

function mountableIds(kinds: ReadonlyMap<number, StoredSnapshot["kind"]>): ReadonlySet<number> {
  return new Set([...kinds].filter(([, kind]) => isMountable(kind)).map(([id]) => id));
}

function isMountable(kind: StoredSnapshot["kind"]): boolean {
  return kind === "active" || kind === "view";
}

async function isThere(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false, // Made before another way of mapping was configured.
  );
}
