import { createHash, randomBytes } from "node:crypto";
import { mkdir, readdir, stat, unlink, utimes } from "node:fs/promises";
import { join } from "node:path";
import { type Digest, sha256 } from "../bytes/index.js";
import { dataLoss, LazuliError } from "../errors/index.js";
import { placeFile, readBoundedFile } from "../files/index.js";
import { log } from "../observe/index.js";
import type { Profile } from "./contract.js";
import { PROFILE_BYTES_MAX, PROFILES_MAX } from "./limits.js";
import { decodeProfile, encodeProfile } from "./profile-document.js";

/** An image for which a profile is looked for. */
export interface ProfileQuery {
  readonly repository: string;
  readonly manifest: Digest | undefined;
  /** The layers that are known of it, in any order. */
  readonly layers: readonly Digest[];
  /** undefined: any. */
  readonly command?: readonly string[] | undefined;
}

export interface KeptProfile {
  /** Names it in the folder: `<image>.<repository>.<command>`, 16 hex digits each. */
  readonly id: string;
  readonly profile: Profile;
  readonly sizeBytes: number;
  /** Milliseconds since 1970. */
  readonly usedAtMs: number;
}

export interface FoundProfile extends KeptProfile {
  /** What it was found by; by its repository it is of another tag, perhaps. */
  readonly by: "manifest" | "layers" | "repository";
}

/**
 * The profiles of a node: a file each, at most PROFILES_MAX, the ones used last. Several processes may use the folder at
 * once: files are put in place whole.
 */
export interface ProfileStore {
  /** The one used last comes first. A damaged one is left out. */
  list(): Promise<readonly KeptProfile[]>;
  /** The one for just this image, repository and command. */
  get(profile: Pick<Profile, "repository" | "manifest" | "layers" | "command">): Promise<Profile | undefined>;
  /**
   * The best for an image: of the same manifest, of the same layers, of the same repository; among those the one with the
   * command, with the most layers in common, of the most starts.
   */
  find(query: ProfileQuery): Promise<FoundProfile | undefined>;
  /** Takes the place of one for the same image, repository and command. @returns its id */
  save(profile: Profile): Promise<string>;
  /** Whether there was one. */
  remove(id: string): Promise<boolean>;
}

const SUFFIX = ".json";
const idShape = /^[0-9a-f]{16}\.[0-9a-f]{16}\.[0-9a-f]{16}$/;
/** A temporary file so old is of a process that is gone. */
const TEMPORARY_AGE_MS = 60_000;

/** Opens the store, making its folder where there is none. */
export async function openProfileStore({ folder }: { readonly folder: string }): Promise<ProfileStore> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  return new FolderStore(folder);
}

class FolderStore implements ProfileStore {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async list(): Promise<readonly KeptProfile[]> {
    const found: KeptProfile[] = [];
    for (const id of await this.#ids()) {
      const kept = await this.#read(id);
      if (kept !== undefined) found.push(kept);
    }
    return found.sort((left, right) => right.usedAtMs - left.usedAtMs);
  }

  async get(
    wanted: Pick<Profile, "repository" | "manifest" | "layers" | "command">,
  ): Promise<Profile | undefined> {
    return (await this.#read(idOf(wanted)))?.profile;
  }

  async find(query: ProfileQuery): Promise<FoundProfile | undefined> {
    const ids = await this.#ids();
    const images = [imageKey(query), imageKey({ ...query, manifest: undefined })];
    const repository = query.repository === "" ? undefined : hash(query.repository);
    const chances = [
      ...images.map((image) => ids.filter((id) => id.startsWith(`${image}.`))),
      ids.filter((id) => repository !== undefined && id.split(".")[1] === repository),
    ];
    for (const chance of chances) {
      const found: FoundProfile[] = [];
      for (const id of chance) {
        const kept = await this.#read(id);
        const by = kept === undefined ? undefined : foundBy(kept.profile, query);
        if (kept !== undefined && by !== undefined) found.push({ ...kept, by });
      }
      found.sort((left, right) => better(left.profile, right.profile, query));
      const [best] = found;
      if (best === undefined) continue;
      await this.#touch(best.id);
      return best;
    }
    return undefined;
  }

  async save(profile: Profile): Promise<string> {
    const id = idOf(profile);
    const path = this.#path(id);
    const temporary = `${path}.${randomBytes(4).toString("hex")}.new`;
    // A power cut may cost it, and a half one is left out.
    await placeFile(path, encodeProfile(profile), { temporary, isNew: true });
    await this.#trim();
    return id;
  }

  async remove(id: string): Promise<boolean> {
    if (!idShape.test(id)) return false;
    return await removeFile(this.#path(id));
  }

  async #ids(): Promise<readonly string[]> {
    const names = await readdir(this.#folder);
    return names
      .filter((name) => name.endsWith(SUFFIX))
      .map((name) => name.slice(0, -SUFFIX.length))
      .filter((id) => idShape.test(id));
  }

  #path(id: string): string {
    return join(this.#folder, `${id}${SUFFIX}`);
  }

  async #touch(id: string): Promise<void> {
    const now = new Date();
    // Whoever removed it meanwhile does not mind.
    await utimes(this.#path(id), now, now).catch(() => undefined);
  }

  async #read(id: string): Promise<KeptProfile | undefined> {
    try {
      const options = { bytesMax: PROFILE_BYTES_MAX, what: "profile", reason: "profile-damaged" };
      const { bytes, modifiedAtMs: usedAtMs } = await readBoundedFile(this.#path(id), options);
      const profile = decodeProfile(bytes);
      if (idOf(profile) !== id) throw dataLoss("It is for another image than its name says");
      return { id, profile, sizeBytes: bytes.length, usedAtMs };
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      const error = LazuliError.from(thrown).message;
      log.warn("Left out a profile that can't be read; it is learnt again", { path: this.#path(id), error });
      return undefined;
    }
  }

  async #trim(): Promise<void> {
    const names = await readdir(this.#folder);
    const isTemporary = (name: string): boolean => name.endsWith(".new");
    if (names.length <= PROFILES_MAX && !names.some(isTemporary)) return;
    const files: { readonly path: string; readonly usedAtMs: number }[] = [];
    for (const name of names) {
      const path = join(this.#folder, name);
      const facts = await stat(path).catch(() => undefined);
      if (facts === undefined) continue;
      if (!isTemporary(name)) files.push({ path, usedAtMs: facts.mtimeMs });
      else if (Date.now() - facts.mtimeMs > TEMPORARY_AGE_MS) await removeFile(path);
    }
    files.sort((left, right) => right.usedAtMs - left.usedAtMs);
    for (const { path } of files.slice(PROFILES_MAX)) await removeFile(path);
  }
}

/** The name of a profile in the store. */
export function idOf(profile: Pick<Profile, "repository" | "manifest" | "layers" | "command">): string {
  return [imageKey(profile), hash(profile.repository), hash(JSON.stringify(profile.command ?? null))].join(
    ".",
  );
}

/** The manifest, or the layers where none is known. */
function imageKey({ manifest, layers }: Pick<Profile, "manifest" | "layers">): string {
  return manifest === undefined ? hash(layers.toSorted().join(" ")) : hash(manifest);
}

function hash(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 16);
}

function foundBy(profile: Profile, query: ProfileQuery): FoundProfile["by"] | undefined {
  if (query.manifest !== undefined && profile.manifest === query.manifest) return "manifest";
  const isSame = profile.layers.every((layer) => query.layers.includes(layer));
  if (isSame) return "layers";
  return query.repository !== "" && profile.repository === query.repository ? "repository" : undefined;
}

/** Sorts the better one to the front. */
function better(left: Profile, right: Profile, query: ProfileQuery): number {
  const worth = (profile: Profile): readonly number[] => [
    query.command !== undefined && isSameCommand(profile.command, query.command) ? 1 : 0,
    profile.layers.filter((layer) => query.layers.includes(layer)).length,
    profile.starts,
  ];
  const of = worth(left);
  return worth(right).reduce((order, value, at) => (order === 0 ? value - of[at]! : order), 0);
}

function isSameCommand(left: readonly string[] | undefined, right: readonly string[]): boolean {
  return left?.length === right.length && left.every((word, at) => word === right[at]);
}

async function removeFile(path: string): Promise<boolean> {
  try {
    await unlink(path);
    return true;
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === "ENOENT") return false;
    throw thrown;
  }
}

/** Of the document as it is kept and published. */
export function profileDigest(profile: Profile): Digest {
  return sha256(encodeProfile(profile));
}
