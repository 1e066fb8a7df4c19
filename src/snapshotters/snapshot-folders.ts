import { lstat, mkdir, readdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { invalidArgument, LazuliError } from "../errors/index.js";
import type { FileStep, NativeBinding } from "../fuse/index.js";
import type { LayerOwner } from "../layer/index.js";
import { log } from "../observe/index.js";

type FolderCalls = Pick<NativeBinding, "fileSteps" | "trees">;

export interface SnapshotFoldersOptions {
  readonly root: string;
  readonly binding: FolderCalls;
  /** Called with an upper layer that is about to be deleted; it may not be there. */
  readonly beforeRemoval?: ((upper: string) => Promise<void>) | undefined;
}

/**
 * The folders of ordinary snapshots:
 *
 *     <root>/snapshots/<id>/fs     0755  the upper layer
 *     <root>/snapshots/<id>/work   0711  overlayfs's own, of active snapshots only
 *     <root>/snapshots/<id>/copy   0755  all that the parents show, with other owners; only where that is configured
 */
export class SnapshotFolders {
  readonly #folder: string;
  readonly #binding: FolderCalls;
  readonly #beforeRemoval: SnapshotFoldersOptions["beforeRemoval"];
  /** Folders on their way to a row: cleaning up leaves them alone. */
  readonly #pending = new Set<string>();

  private constructor(folder: string, options: SnapshotFoldersOptions) {
    this.#folder = folder;
    this.#binding = options.binding;
    this.#beforeRemoval = options.beforeRemoval;
  }

  /** @throws INVALID_ARGUMENT for a root that overlayfs's options can't carry */
  static async open(options: SnapshotFoldersOptions): Promise<SnapshotFolders> {
    const { root } = options;
    if (!root.startsWith("/") || /[:,\\"\s]/.test(root)) {
      throw invalidArgument(
        `Cannot keep snapshots in ${root}: want an absolute path without colon, comma, quote, backslash or space`,
        { subject: root, reason: "root-unusable" },
      );
    }
    const folder = join(root, "snapshots");
    await mkdir(folder, { recursive: true, mode: 0o700 });
    return new SnapshotFolders(folder, options);
  }

  upper(id: number): string {
    return join(this.#folder, String(id), "fs");
  }

  work(id: number): string {
    return join(this.#folder, String(id), "work");
  }

  copy(id: number): string {
    return join(this.#folder, String(id), "copy");
  }

  /** What overlayfs needs to make the copy. */
  copyWork(id: number): string {
    return join(this.#folder, String(id), "copy-work");
  }

  /** The largest id that a folder has. */
  async idTaken(): Promise<number> {
    const names = await readdir(this.#folder);
    const ids = names.map(Number).filter(Number.isSafeInteger);
    return ids.reduce((largest, id) => Math.max(largest, id), 0);
  }

  /** Durable when it returns. Until disposed it is safe from `removeUnknown`, row or not. */
  async create(options: {
    id: number;
    hasWork: boolean;
    owner: LayerOwner | undefined;
    /** Fills the folders before they are made durable. */
    fill?: (() => Promise<void>) | undefined;
  }): Promise<Disposable> {
    const { id, hasWork, owner, fill } = options;
    const name = String(id);
    this.#pending.add(name);
    const release = { [Symbol.dispose]: () => void this.#pending.delete(name) };
    try {
      const folder = join(this.#folder, name);
      const upper = join(folder, "fs");
      await this.#binding.fileSteps([
        { kind: "makeFolder", path: folder, mode: 0o700 },
        { kind: "makeFolder", path: upper, mode: 0o755 },
        ...(owner === undefined ? [] : [{ kind: "setOwner", path: upper, ...owner } as const]),
        ...(hasWork ? [{ kind: "makeFolder", path: join(folder, "work"), mode: 0o711 } as const] : []),
        ...(fill === undefined ? this.#synced(folder) : []),
      ]);
      if (fill !== undefined) await this.#filled(folder, fill);
      return release;
    } catch (thrown) {
      release[Symbol.dispose]();
      throw thrown;
    }
  }

  /** Deletes a snapshot's folder, if it is there. */
  async remove(name: string): Promise<void> {
    await this.#beforeRemoval?.(join(this.#folder, name, "fs"));
    await this.#binding.trees.remove(join(this.#folder, name));
  }

  /** Owner of an upper layer, which the layer above it inherits. */
  async owner(id: number): Promise<LayerOwner> {
    const { uid, gid } = await lstat(this.upper(id));
    return { uid, gid };
  }

  /** Deletes all folders but those of the ids that are in use and those being made. A failure is told and passed over. */
  async removeUnknown(idsInUse: () => ReadonlySet<string>): Promise<void> {
    const names = await readdir(this.#folder);
    // Asked after the listing: what was listed is pending, or has its row by now, or belongs to nobody.
    const inUse = idsInUse();
    const unknown = names.filter((name) => !inUse.has(name) && !this.#pending.has(name));
    for (const name of unknown) {
      try {
        await this.remove(name);
      } catch (thrown) {
        log.warn("Cannot delete the folder of a removed snapshot", {
          folder: join(this.#folder, name),
          error: LazuliError.from(thrown).message,
        });
      }
    }
  }

  #synced(folder: string): readonly FileStep[] {
    return [
      { kind: "sync", path: folder },
      { kind: "sync", path: this.#folder },
    ];
  }

  async #filled(folder: string, fill: () => Promise<void>): Promise<void> {
    try {
      await fill();
      await this.#binding.fileSteps(this.#synced(folder));
    } catch (thrown) {
      // It may hold a whole image: it does not wait for the next cleaning up.
      await this.remove(basename(folder)).catch((second: unknown) => {
        log.warn("Cannot delete the folder of a snapshot that was not made", {
          folder,
          error: LazuliError.from(second).message,
        });
      });
      throw thrown;
    }
  }
}
