import { dirname } from "node:path";
import { KeyedQueue } from "../async/index.js";
import { LazuliError, notFound } from "../errors/index.js";
import { syncFolder } from "../files/index.js";
import type { NativeBinding } from "../fuse/index.js";
import { failurePoint, log } from "../observe/index.js";
import { btrfsDevice } from "./btrfs-device.js";
import { type BtrfsPlace, BtrfsPlaces } from "./btrfs-places.js";
import type { Mount, SnapshotKind, SnapshotUsage } from "./contract.js";
import type { SnapshotStorage, StorageOptions, StoredSnapshot } from "./storage.js";
import { finished } from "./tree-calls.js";

const created = failurePoint("snapshots.btrfs.created");
const frozen = failurePoint("snapshots.btrfs.frozen");
const removed = failurePoint("snapshots.btrfs.removed");

export interface BtrfsStorageOptions {
  /** Folder on a btrfs. */
  readonly root: string;
  readonly binding: Pick<NativeBinding, "btrfs" | "trees">;
}

/** Trees as subvolumes, in containerd's places (plugins/snapshots/btrfs). @throws FAILED_PRECONDITION, no btrfs */
export async function createBtrfsStorage(options: BtrfsStorageOptions): Promise<SnapshotStorage> {
  const places = await BtrfsPlaces.open(options.root);
  return new BtrfsStorage({ places, device: await btrfsDevice(options.root), binding: options.binding });
}

class BtrfsStorage implements SnapshotStorage {
  readonly #places: BtrfsPlaces;
  readonly #device: string;
  readonly #binding: BtrfsStorageOptions["binding"];
  /** Active ones and views on their way to a row. */
  readonly #pending = new Set<number>();
  /** Ids whose committed subvolume waits for its row; forgotten when the row was seen. */
  readonly #frozen = new Set<number>();
  readonly #turns = new KeyedQueue<number>();

  constructor(options: {
    places: BtrfsPlaces;
    device: string;
    binding: BtrfsStorageOptions["binding"];
  }) {
    this.#places = options.places;
    this.#device = options.device;
    this.#binding = options.binding;
  }

  async idTaken(): Promise<number> {
    return await this.#places.idTaken();
  }

  async create({ id, kind, parents }: StoredSnapshot): Promise<Disposable> {
    const place = this.#places.of(id, kind);
    const [parent] = parents;
    this.#pending.add(id);
    const release = { [Symbol.dispose]: () => void this.#pending.delete(id) };
    try {
      await this.#make(place, parent === undefined ? undefined : this.#committedPath(parent.id));
      created.pass();
      // The kernel makes a snapshot durable by itself, and an empty subvolume not.
      if (parent === undefined) await syncFolder(place.path);
      await syncFolder(dirname(place.path));
      return release;
    } catch (thrown) {
      release[Symbol.dispose]();
      await this.#deleteOrTell(place);
      throw thrown;
    }
  }

  async mounts({ id, kind }: StoredSnapshot): Promise<readonly Mount[]> {
    const number = await this.#binding.btrfs.subvolumeId(this.#places.of(id, kind).path);
    const options = kind === "view" ? [`subvolid=${number}`, "ro"] : [`subvolid=${number}`];
    return [{ type: "btrfs", source: this.#device, target: "", options }];
  }

  async usage(snapshot: StoredSnapshot, options: StorageOptions = {}): Promise<SnapshotUsage> {
    // A view has nothing of its own.
    if (snapshot.kind !== "active") return { size: 0, inodes: 0 };
    const { path } = this.#places.of(snapshot.id, "active");
    const accounted = await this.#binding.btrfs.accountedUsage(path);
    return accounted ?? (await this.#walkedUsage(path, snapshot, options));
  }

  async commit(snapshot: StoredSnapshot, options: StorageOptions = {}): Promise<SnapshotUsage> {
    return await this.#turns.run(snapshot.id, async () => await this.#freeze(snapshot, options));
  }

  async remove(id: number, kindInUse: SnapshotKind | undefined): Promise<void> {
    this.#frozen.delete(id);
    for (const place of this.#places.all(id)) if (place.kind !== kindInUse) await this.#delete(place);
  }

  async removeUnknown(kindsInUse: () => ReadonlyMap<number, SnapshotKind>): Promise<void> {
    const places = await this.#places.list();
    // Asked after the listing: what was listed is pending, or has its row by now, or belongs to nobody.
    const inUse = kindsInUse();
    for (const id of this.#frozen) if (inUse.get(id) !== "active") this.#frozen.delete(id);
    for (const place of places) {
      const isPending = this.#pending.has(place.id) && !inUse.has(place.id);
      if (!isPending && !this.#isInUse(place, inUse.get(place.id))) await this.#deleteOrTell(place);
    }
  }

  async close(): Promise<void> {
    // Nothing is open between calls.
  }

  async #freeze(snapshot: StoredSnapshot, options: StorageOptions): Promise<SnapshotUsage> {
    const { id } = snapshot;
    const { path } = this.#places.of(id, "active");
    options.signal?.throwIfAborted();
    // Where another commit or a removal has come first, the frozen one is not ours to delete.
    await this.#checkThere(id, path);
    const target = this.#places.of(id, "committed");
    this.#frozen.add(id);
    // From an earlier attempt: what is active may have changed since.
    const isRepeated = await this.#deleteNow(target);
    // The frozen one shares all that was the active one's alone, and until a deleted one is gone so does that.
    const accounted = isRepeated ? undefined : await this.#binding.btrfs.accountedUsage(path);
    await this.#binding.btrfs.snapshotSubvolume(path, target.path, true);
    frozen.pass();
    try {
      await syncFolder(dirname(target.path));
      return accounted ?? (await this.#walkedUsage(target.path, snapshot, options));
    } catch (thrown) {
      await this.#tellFailure(target, async () => void (await this.#deleteNow(target)));
      throw thrown;
    }
  }

  #committedPath(id: number): string {
    return this.#places.of(id, "committed").path;
  }

  async #make(place: BtrfsPlace, parent: string | undefined): Promise<void> {
    const { btrfs } = this.#binding;
    const isView = place.kind === "view";
    if (parent !== undefined) return await btrfs.snapshotSubvolume(parent, place.path, isView);
    await btrfs.createSubvolume(place.path);
    if (isView) await btrfs.setSubvolumeReadOnly(place.path, true);
  }

  /** As containerd measures: all of a tree, or what its parent has not. */
  async #walkedUsage(
    path: string,
    { parents }: StoredSnapshot,
    { signal }: StorageOptions,
  ): Promise<SnapshotUsage> {
    const { trees } = this.#binding;
    const [parent] = parents;
    return await finished(
      () =>
        parent === undefined ? trees.usage(path) : trees.difference(this.#committedPath(parent.id), path),
      signal,
    );
  }

  #isInUse({ id, kind }: BtrfsPlace, kindInUse: SnapshotKind | undefined): boolean {
    if (kind === kindInUse) return true;
    return kind === "committed" && kindInUse === "active" && this.#frozen.has(id);
  }

  /** @throws NOT_FOUND */
  async #checkThere(id: number, path: string): Promise<void> {
    try {
      await this.#binding.btrfs.subvolumeId(path);
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code !== "ENOENT") throw thrown;
      throw notFound(`Cannot commit snapshot ${id}: it was committed or removed meanwhile`, {
        subject: String(id),
        reason: "tree-missing",
        cause: thrown,
      });
    }
  }

  async #delete(place: BtrfsPlace): Promise<void> {
    await this.#turns.run(place.id, async () => await this.#deleteNow(place));
  }

  /** False where nothing was. */
  async #deleteNow(place: BtrfsPlace): Promise<boolean> {
    try {
      await this.#binding.btrfs.deleteSubvolume(place.path);
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code !== "ENOENT") throw thrown;
      return false;
    }
    removed.pass();
    return true;
  }

  async #deleteOrTell(place: BtrfsPlace): Promise<void> {
    await this.#tellFailure(place, async () => await this.#delete(place));
  }

  async #tellFailure(place: BtrfsPlace, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (thrown) {
      log.warn("Cannot delete the subvolume of a removed snapshot", {
        folder: place.path,
        error: LazuliError.from(thrown).message,
      });
    }
  }
}
