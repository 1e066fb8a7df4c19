import { linkSignals } from "../async/index.js";
import type { Digest } from "../bytes/index.js";
import { invalidArgument, LazuliError, notFound } from "../errors/index.js";
import { log } from "../observe/index.js";
import { type Descriptor, makeReference, parseReference } from "../oci/index.js";
import type { Registry } from "../registry/index.js";
import { parseArtifact, STARTS_ANNOTATION } from "./artifact.js";
import type { Profile } from "./contract.js";
import { CANDIDATES_MAX, FIND_TIMEOUT_MS, REFERRERS_MAX } from "./limits.js";
import { decodeProfile, PROFILE_MEDIA_TYPE } from "./profile-document.js";
import { isTrusted, type ProfileTrust } from "./profile-trust.js";

export interface FindPublished {
  readonly registry: Pick<Registry, "referrers" | "fetchManifest" | "fetchBlobBytes">;
  /** Of the image; the profile lies in its repository. */
  readonly reference: string;
  readonly manifest: Digest;
  readonly trust: ProfileTrust;
  readonly signal?: AbortSignal | undefined;
}

export interface PublishedProfile {
  readonly profile: Profile;
  /** Of the manifest that refers to the image. */
  readonly digest: Digest;
}

/**
 * The profile that refers to an image at its registry: of those that are trusted and whole the one of the most starts.
 * undefined: there is none. A bad one is passed over with a warning.
 * @throws as Registry.referrers(), DEADLINE_EXCEEDED
 */
export async function findPublished(options: FindPublished): Promise<PublishedProfile | undefined> {
  const { registry, reference, manifest: subject, trust } = options;
  using deadline = linkSignals([options.signal], FIND_TIMEOUT_MS);
  const { signal } = deadline;
  const artifactType = PROFILE_MEDIA_TYPE;
  const listed = await registry.referrers({ reference, subject, artifactType, signal });
  const sorted = listed
    .slice(0, REFERRERS_MAX)
    .filter(({ digest }) => isTrusted(trust, { reference, digest }))
    .sort((left, right) => startsOf(right) - startsOf(left));
  for (const { digest } of sorted.slice(0, CANDIDATES_MAX)) {
    try {
      return { profile: await fetchProfile({ ...options, digest, signal }), digest };
    } catch (thrown) {
      signal.throwIfAborted();
      const { message, reason } = LazuliError.from(thrown);
      log.warn("Passed over a profile of an image", { reference, digest, reason, error: message });
    }
  }
  return undefined;
}

async function fetchProfile(options: FindPublished & { readonly digest: Digest }): Promise<Profile> {
  const { registry, reference, manifest, digest, signal } = options;
  const place = parseReference(reference);
  const at = makeReference({ ...place, tag: undefined, digest }).toString();
  const { bytes } = await registry.fetchManifest({ reference: at, signal });
  const document = parseArtifact(bytes, { subject: manifest });
  const { size: maxBytes } = document;
  const profile = decodeProfile(
    await registry.fetchBlobBytes({ reference, digest: document.digest, maxBytes, signal }),
  );
  if (profile.manifest === manifest) return profile;
  throw invalidArgument(
    `Cannot use profile: want one of ${manifest}, got one of ${profile.manifest ?? "none"}`,
    {
      subject: manifest,
      reason: "profile-other-image",
    },
  );
}

/** What its writer says, for the order of tries only. */
function startsOf({ annotations }: Descriptor): number {
  const text = annotations[STARTS_ANNOTATION] ?? "";
  return /^[0-9]{1,4}$/.test(text) ? Number(text) : 0;
}

/** As findPublished(), for those who asked for it. @throws NOT_FOUND `profile-missing` */
export async function requirePublished(options: FindPublished): Promise<PublishedProfile> {
  const found = await findPublished(options);
  if (found !== undefined) return found;
  throw notFound(`Cannot find a profile of ${options.reference}: nothing that refers to it is one`, {
    subject: options.manifest,
    reason: "profile-missing",
    hint: "`lazuli profile push IMAGE` on a node that has started it publishes one; `[profiles] trust` says which are taken",
  });
}
