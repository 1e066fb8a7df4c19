import { chmod, mkdir, readdir, rename, stat } from "node:fs/promises";
import { join } from "node:path";
import pLimit from "p-limit";
import { KeyedQueue } from "../async/index.js";
import { invalidArgument, LazuliError, notFound } from "../errors/index.js";
import { syncFolder } from "../files/index.js";
import type { NativeBinding } from "../fuse/index.js";
import { failurePoint, log } from "../observe/index.js";
import type { Mount, SnapshotKind, SnapshotUsage } from "./contract.js";
import type { SnapshotStorage, StorageOptions, StoredSnapshot } from "./storage.js";
import { finished } from "./tree-calls.js";

const copied = failurePoint("snapshots.native.copied");
const synced = failurePoint("snapshots.native.synced");
const renamed = failurePoint("snapshots.native.renamed");
const removed = failurePoint("snapshots.native.removed");

const NEW_PREFIX = "new-";
/** Trees copied at once; others wait their turn. More would only make the disk go to and fro. */
const COPIES_MAX = 2;

export interface NativeStorageOptions {
  /** Folder on any file system. */
  readonly root: string;
  readonly binding: Pick<NativeBinding, "trees">;
  /** syncfs(2) of the file system that holds a folder. */
  readonly syncFileSystem: (folder: string) => Promise<void>;
}

/**
 * Each tree a whole copy of its parent's, in containerd's places (plugins/snapshots/native):
 *
 *     <root>/snapshots/<id>       the tree
 *     <root>/snapshots/new-<id>   one being made
 */
export async function createNativeStorage(options: NativeStorageOptions): Promise<SnapshotStorage> {
  const { root } = options;
  if (!root.startsWith("/")) {
    throw invalidArgument(`Cannot keep snapshots in ${root}: want an absolute path`, {
      subject: root,
      reason: "root-unusable",
    });
  }
  const folder = join(root, "snapshots");
  await mkdir(folder, { recursive: true, mode: 0o700 });
  return new NativeStorage(options, folder);
}

class NativeStorage implements SnapshotStorage {
  readonly #options: NativeStorageOptions;
  readonly #folder: string;
  /** Folders on their way to a row: cleaning up leaves them alone. */
  readonly #pending = new Set<string>();
  readonly #turns = new KeyedQueue<number>();
  readonly #copies = pLimit(COPIES_MAX);

  constructor(options: NativeStorageOptions, folder: string) {
    this.#options = options;
    this.#folder = folder;
  }

  async idTaken(): Promise<number> {
    const names = await readdir(this.#folder);
    const ids = names.map((name) => Number(name.replace(NEW_PREFIX, ""))).filter(Number.isSafeInteger);
    return ids.reduce((largest, id) => Math.max(largest, id), 0);
  }

  async create(snapshot: StoredSnapshot, { signal }: StorageOptions = {}): Promise<Disposable> {
    const { id } = snapshot;
    // A view of a parent shows the parent: it needs no folder.
    if (showsParent(snapshot)) return { [Symbol.dispose]: () => undefined };
    const temporary = join(this.#folder, `${NEW_PREFIX}${id}`);
    const names = [String(id), `${NEW_PREFIX}${id}`];
    for (const name of names) this.#pending.add(name);
    const release = {
      [Symbol.dispose]: () => {
        for (const name of names) this.#pending.delete(name);
      },
    };
    try {
      await this.#fill(temporary, snapshot, signal);
      synced.pass();
      await rename(temporary, this.#path(id));
      renamed.pass();
      await syncFolder(this.#folder);
      return release;
    } catch (thrown) {
      await this.#removeOrTell(temporary);
      release[Symbol.dispose]();
      throw thrown;
    }
  }

  async mounts(snapshot: StoredSnapshot): Promise<readonly Mount[]> {
    const { id, kind, parents } = snapshot;
    const shown = showsParent(snapshot) ? (parents[0]?.id ?? id) : id;
    const options = ["rbind", kind === "view" ? "ro" : "rw"];
    return [{ type: "bind", source: this.#path(shown), target: "", options }];
  }

  /** All that is in the tree, what it has from its parent too, as containerd counts: it is a copy. */
  async usage({ id, kind }: StoredSnapshot, { signal }: StorageOptions = {}): Promise<SnapshotUsage> {
    if (kind !== "active") return { size: 0, inodes: 0 };
    return await finished(() => this.#options.binding.trees.usage(this.#path(id)), signal);
  }

  async commit(snapshot: StoredSnapshot, options: StorageOptions = {}): Promise<SnapshotUsage> {
    return await this.#turns.run(snapshot.id, async () => {
      await this.#checkThere(snapshot.id);
      // Before it is measured: file systems give files their blocks when they write them.
      await this.#options.syncFileSystem(this.#path(snapshot.id));
      return await this.usage(snapshot, options);
    });
  }

  async remove(id: number, kindInUse: SnapshotKind | undefined): Promise<void> {
    if (kindInUse !== undefined) return;
    await this.#turns.run(id, async () => await this.#remove(this.#path(id)));
  }

  async removeUnknown(kindsInUse: () => ReadonlyMap<number, SnapshotKind>): Promise<void> {
    const names = await readdir(this.#folder);
    // Asked after the listing: what was listed is pending, or has its row by now, or belongs to nobody.
    const inUse = new Set([...kindsInUse().keys()].map(String));
    const unknown = names.filter((name) => !inUse.has(name) && !this.#pending.has(name));
    for (const name of unknown) await this.#removeOrTell(join(this.#folder, name));
  }

  async close(): Promise<void> {
    // Nothing is open between calls.
  }

  #path(id: number): string {
    return join(this.#folder, String(id));
  }

  /** Makes a durable tree under its first name. */
  async #fill(folder: string, { parents }: StoredSnapshot, signal: AbortSignal | undefined): Promise<void> {
    const [parent] = parents;
    if (parent === undefined) {
      await mkdir(folder);
      // The mode of mkdir passes through the umask.
      await chmod(folder, 0o755);
      await syncFolder(folder);
      return;
    }
    await this.#copies(async () => {
      await finished(() => this.#options.binding.trees.copy(this.#path(parent.id), folder), signal);
    });
    copied.pass();
    await this.#options.syncFileSystem(folder);
  }

  /** @throws NOT_FOUND */
  async #checkThere(id: number): Promise<void> {
    try {
      await stat(this.#path(id));
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code !== "ENOENT") throw thrown;
      throw notFound(`Cannot commit snapshot ${id}: it was removed meanwhile`, {
        subject: String(id),
        reason: "tree-missing",
        cause: thrown,
      });
    }
  }

  async #remove(path: string): Promise<void> {
    await this.#options.binding.trees.remove(path);
    removed.pass();
  }

  async #removeOrTell(path: string): Promise<void> {
    try {
      await this.#remove(path);
    } catch (thrown) {
      log.warn("Cannot delete the folder of a removed snapshot", {
        folder: path,
        error: LazuliError.from(thrown).message,
      });
    }
  }
}

function showsParent({ kind, parents }: StoredSnapshot): boolean {
  return kind === "view" && parents.length > 0;
}
