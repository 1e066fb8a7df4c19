import { join } from "node:path";
import { loadConfig } from "../daemon/index.js";
import { notFound } from "../errors/index.js";
import { parseReference } from "../oci/index.js";
import { type KeptProfile, openProfileStore, type ProfileStore, repositoryOf } from "../profiles/index.js";
import type { CommandInput } from "./command.js";

export interface ProfilePlaces {
  readonly root: string;
  readonly store: ProfileStore;
  /** Folder. */
  readonly traces: string;
}

/** Where this node's profiles and traces lie; a server may run on them. @throws the system's error */
export async function profilePlaces(input: CommandInput): Promise<ProfilePlaces> {
  const { root: given } = input.options;
  const { config } = await loadConfig({
    file: input.options.config?.at(-1),
    environment: input.environment,
    flags: given === undefined ? {} : { root: given },
  });
  const { root } = config;
  const store = await openProfileStore({ folder: join(root, "profiles") });
  return { root, store, traces: join(root, "traces") };
}

/** The profiles that a word stands for, the one used last first. @throws NOT_FOUND `profile-unknown` */
export async function profilesNamed(store: ProfileStore, word: string): Promise<readonly KeptProfile[]> {
  const all = await store.list();
  const named = all.filter(({ id }) => id === word);
  const found = named.length > 0 ? named : all.filter((kept) => isOf(kept, word));
  if (found.length > 0) return found;
  throw notFound(`Profile of "${word.slice(0, 200)}" does not exist on this node`, {
    subject: word,
    reason: "profile-unknown",
    hint: "`lazuli profile ls` lists those of this node; one is learnt from each cold start, and `lazuli profile pull IMAGE` brings one from the registry",
  });
}

function isOf({ profile }: KeptProfile, image: string): boolean {
  const repository = repositoryOf(image);
  if (repository === "" || profile.repository !== repository) return false;
  const { digest } = parseReference(image);
  return digest === undefined || digest === profile.manifest;
}
