import { createHash } from "node:crypto";
import { mkdir, readdir, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { resourceExhausted } from "../errors/index.js";
import { log } from "../observe/index.js";
import { type IdMapping, idRangesText } from "./id-mapping.js";
import { cloneForMapping, mapIds, openUserNamespace } from "./map-ids.js";
import { mountError } from "./mount-error.js";
import { type MountInfo, placeInMounts, readMountInfo } from "./mount-info.js";
import type { MountBinding } from "./mount-spec.js";
import { OpenFiles } from "./open-files.js";
import { detachQuietly, unmountOne } from "./undo.js";

export interface IdMappedLowersOptions {
  readonly binding: MountBinding;
  /** A folder of its own, a real path; made when it is missing. In a state folder: mounts don't outlive the host. */
  readonly folder: string;
}

/** What a user of mapped layers holds. */
export interface MappedLowersClaim {
  /** Real paths of folders. */
  readonly lowers: readonly string[];
  readonly mapping: IdMapping;
}

export interface ClaimOptions extends MappedLowersClaim {
  /** Names the user, e.g. a snapshot's id. */
  readonly holder: string;
  readonly signal?: AbortSignal | undefined;
}

/** A layer under a mapping, or on the way there or away. */
interface Place {
  readonly path: string;
  readonly holders: Set<string>;
  /** What is done at this place, in order; never rejects. */
  last: Promise<void>;
  isMounted: boolean;
}

/** Mapped layers at once. The kernel takes 100,000 mounts (fs.mount-max); a claim beyond it fails. */
const PLACES_MAX = 65_536;

/**
 * Layers mounted with mapped owners, for clients that can't mount them so by themselves. The same layer under the same
 * mapping is one mount, whoever uses it; it goes with its last holder. Nothing is written down: the places have names
 * made from layer and mapping, and after a restart `reconcile` finds them in the kernel's table.
 */
export class IdMappedLowers {
  readonly #binding: MountBinding;
  readonly #folder: string;
  readonly #places = new Map<string, Place>();

  private constructor(options: IdMappedLowersOptions) {
    this.#binding = options.binding;
    this.#folder = options.folder;
  }

  static async open(options: IdMappedLowersOptions): Promise<IdMappedLowers> {
    await mkdir(options.folder, { recursive: true, mode: 0o711 });
    return new IdMappedLowers(options);
  }

  /**
   * Mounts what isn't mounted yet. Returns the paths in the order of the lowers. A holder may claim again; a claim that
   * fails or whose signal fires leaves nothing of it behind, and what the holder had before stays.
   * @throws FAILED_PRECONDITION `idmap-unsupported`; RESOURCE_EXHAUSTED `mapped-lowers-exhausted`; as mountAll
   */
  async claim(options: ClaimOptions): Promise<readonly string[]> {
    const { lowers, mapping, holder, signal } = options;
    const mapText = `${idRangesText(mapping.uids)} ${idRangesText(mapping.gids)}`;
    const taken: Place[] = [];
    const paths: string[] = [];
    await using files = new OpenFiles();
    let userNamespaceFd: number | undefined;
    try {
      for (const lower of lowers) {
        signal?.throwIfAborted();
        const place = this.#place(join(this.#folder, nameOf(lower, mapText)));
        if (!place.holders.has(holder)) taken.push(place);
        place.holders.add(holder);
        paths.push(place.path);
        await inOrder(place, async () => {
          if (place.isMounted) return;
          userNamespaceFd ??= await openUserNamespace(this.#binding, mapping, files);
          await this.#mount(lower, place, userNamespaceFd);
        });
      }
      signal?.throwIfAborted();
      return paths;
    } catch (thrown) {
      await Promise.all(taken.map(async (place) => await this.#leave(place, holder)));
      throw thrown;
    }
  }

  /** Takes away what nobody else holds. A mount that an overlay uses lives on there. */
  async release(holder: string): Promise<void> {
    const held = [...this.#places.values()].filter(({ holders }) => holders.has(holder));
    await Promise.all(held.map(async (place) => await this.#leave(place, holder)));
  }

  /**
   * After a start: keeps the mounts that the claims want and that still show their layers, and takes all others in the
   * folder away. What a claim wants and isn't there is mounted by the next `claim`.
   */
  async reconcile(claims: ReadonlyMap<string, MappedLowersClaim>): Promise<void> {
    const wanted = new Map<string, { lower: string; holders: string[] }>();
    for (const [holder, { lowers, mapping }] of claims) {
      const mapText = `${idRangesText(mapping.uids)} ${idRangesText(mapping.gids)}`;
      for (const lower of lowers) {
        const path = join(this.#folder, nameOf(lower, mapText));
        const entry = wanted.get(path) ?? { lower, holders: [] };
        entry.holders.push(holder);
        wanted.set(path, entry);
      }
    }
    const mounts = await readMountInfo();
    for (const path of mountedIn(mounts, this.#folder)) {
      const entry = wanted.get(path);
      if (entry !== undefined && isCurrent(mounts, path, entry.lower)) this.#adopt(path, entry.holders);
      else if (!this.#places.has(path)) await this.#clear(path);
    }
    for (const name of await readdir(this.#folder)) {
      const path = join(this.#folder, name);
      if (!this.#places.has(path)) await this.#removeFolder(path);
    }
  }

  /** Mapped layers that are mounted. */
  get size(): number {
    return this.#places.size;
  }

  #place(path: string): Place {
    const known = this.#places.get(path);
    if (known !== undefined) return known;
    if (this.#places.size >= PLACES_MAX) {
      throw resourceExhausted(`Cannot map the ids of one more layer: want ${PLACES_MAX} at most`, {
        reason: "mapped-lowers-exhausted",
        hint: "Remove snapshots that have an id mapping",
      });
    }
    const place: Place = { path, holders: new Set(), last: Promise.resolve(), isMounted: false };
    this.#places.set(path, place);
    return place;
  }

  #adopt(path: string, holders: readonly string[]): void {
    const place = this.#place(path);
    place.isMounted = true;
    for (const holder of holders) place.holders.add(holder);
  }

  async #mount(lower: string, place: Place, userNamespaceFd: number): Promise<void> {
    try {
      await using files = new OpenFiles();
      const mountFd = await cloneForMapping(this.#binding, { path: lower, isRecursive: false, files });
      await mapIds(this.#binding, { mountFd, userNamespaceFd, isRecursive: false, source: lower });
      await mkdir(place.path, { recursive: true, mode: 0o700 });
      await this.#binding.mounts.attach(mountFd, place.path);
      place.isMounted = true;
    } catch (thrown) {
      throw mountError(thrown, { type: "idmapped", source: lower, target: place.path });
    }
  }

  async #leave(place: Place, holder: string): Promise<void> {
    await inOrder(place, async () => {
      place.holders.delete(holder);
      if (place.holders.size > 0) return;
      await this.#clear(place.path);
      place.isMounted = false;
      // Whoever claims it while it is cleared has it by now, and mounts it again.
      if (place.holders.size === 0 && this.#places.get(place.path) === place) this.#places.delete(place.path);
    });
  }

  async #clear(path: string): Promise<void> {
    try {
      while (await unmountOne(this.#binding, path)) {
        // An earlier process may have mounted it twice.
      }
    } catch (thrown) {
      log.warn("Cannot take away a layer with mapped ids", { path, error: String(thrown) });
      await detachQuietly(this.#binding, path);
    }
    await this.#removeFolder(path);
  }

  async #removeFolder(path: string): Promise<void> {
    try {
      await rmdir(path);
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code === "ENOENT") return;
      log.warn("Cannot remove the folder of a layer with mapped ids", { path, error: String(thrown) });
    }
  }
}

/** Opens the keeper of mapped layers. */
export async function idmappedLowers(options: IdMappedLowersOptions): Promise<IdMappedLowers> {
  return await IdMappedLowers.open(options);
}

/** Runs work at a place after all that was begun there before. */
async function inOrder(place: Place, work: () => Promise<void>): Promise<void> {
  const done = place.last.then(work);
  place.last = done.catch(() => undefined);
  await done;
}

const NAME_LENGTH = 32;

function nameOf(lower: string, mapText: string): string {
  return createHash("sha256").update(`${lower}\0${mapText}`).digest("hex").slice(0, NAME_LENGTH);
}

function mountedIn(mounts: readonly MountInfo[], folder: string): Set<string> {
  return new Set(mounts.map(({ target }) => target).filter((target) => target.startsWith(`${folder}/`)));
}

/** The mount shows what the layer's path shows now, with mapped ids; a layer that was mounted anew does not. */
function isCurrent(mounts: readonly MountInfo[], path: string, lower: string): boolean {
  const [here, there] = [placeInMounts(mounts, path), placeInMounts(mounts, lower)];
  const top = mounts.findLast(({ target }) => target === path);
  return (
    here !== undefined &&
    there !== undefined &&
    here.device === there.device &&
    here.root === there.root &&
    top?.options.includes("idmapped") === true
  );
}
