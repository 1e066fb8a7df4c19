import { failedPrecondition, invalidArgument } from "../errors/index.js";
import {
  makeReference,
  type Platform,
  parseManifest,
  parseManifestOrIndex,
  parseReference,
  selectPlatform,
} from "../oci/index.js";
import { type Profile, profileDigest, publishProfile, requirePublished } from "../profiles/index.js";
import type { FetchedManifest, Registry } from "../registry/index.js";
import { parseImageLocation } from "../transfer/index.js";
import type { CommandInput, CommandResult } from "./command.js";
import { openRegistry, readPlatforms } from "./image-options.js";
import { profilePlaces, profilesNamed } from "./profile-places.js";
import { signalled } from "./signalled.js";

/** Publishes what this node knows of an image beside it. */
export async function pushProfile(
  input: CommandInput,
  [image, id]: readonly string[],
): Promise<CommandResult> {
  const { store } = await profilePlaces(input);
  await using opened = await openRegistry(input, [parseImageLocation(image!)]);
  const registry = registryOf(opened.registry, image!);
  using stop = signalled();
  const { signal } = stop;
  const reference = parseReference(image!).toString();
  const subject = await imageManifest(registry, reference, { input, signal });
  const found = await profilesNamed(store, id ?? reference.replace(/@.*$/, ""));
  const isOf = isOfImage(subject);
  const kept = id === undefined ? found.find(({ profile }) => isOf(profile)) : found[0];
  if (kept === undefined) {
    throw failedPrecondition(`Cannot push a profile of ${image}: this node has none of ${subject.digest}`, {
      subject: subject.digest,
      reason: "profile-other-image",
      hint: "Those of other tags are here: start this one once, or pull the image again where the client told no manifest",
    });
  }
  const manifest = isOf(kept.profile) ? subject.digest : kept.profile.manifest;
  const profile = { ...kept.profile, manifest };
  const pushed = await publishProfile({ registry, reference, subject, profile, signal });
  return {
    data: pushed,
    text: `${pushed.digest} of ${pushed.subject}, listed by ${pushed.listedBy}\n`,
  };
}

/** By its manifest; one that was learnt without it by its layers. */
function isOfImage(subject: FetchedManifest): (profile: Profile) => boolean {
  const parsed = parseManifest(subject.bytes, { contentType: subject.mediaType });
  const layers = new Set(parsed.layers.map(({ digest }) => digest));
  return (profile) =>
    profile.manifest === undefined
      ? profile.layers.every((layer) => layers.has(layer))
      : profile.manifest === subject.digest;
}

/** Takes the profile that refers to an image, whatever `[profiles] trust` says: somebody asked for it by name. */
export async function pullProfile(input: CommandInput, [image]: readonly string[]): Promise<CommandResult> {
  const { store } = await profilePlaces(input);
  await using opened = await openRegistry(input, [parseImageLocation(image!)]);
  const registry = registryOf(opened.registry, image!);
  using stop = signalled();
  const { signal } = stop;
  const reference = parseReference(image!).toString();
  const { digest: manifest } = await imageManifest(registry, reference, { input, signal });
  const trust = { kind: "any", listed: [] } as const;
  const { profile, digest } = await requirePublished({ registry, reference, manifest, trust, signal });
  const id = await store.save(profile);
  return {
    data: { id, artifact: digest, digest: profileDigest(profile), manifest },
    text: `${id}: ${digest} of ${manifest}\n`,
  };
}

function registryOf(registry: Registry | undefined, image: string): Registry {
  if (registry !== undefined) return registry;
  throw invalidArgument(`Cannot reach a profile of ${image}: want an image in a registry`, {
    reason: "usage",
  });
}

/** The manifest of an image for one platform. */
async function imageManifest(
  registry: Registry,
  reference: string,
  { input, signal }: { readonly input: CommandInput; readonly signal: AbortSignal },
): Promise<FetchedManifest> {
  const root = await registry.fetchManifest({ reference, signal });
  const parsed = parseManifestOrIndex(root.bytes, { contentType: root.mediaType });
  if (parsed.kind === "manifest") return root;
  // The command has no --all-platforms: it is a list, of one at least.
  const [platform] = readPlatforms(input) as readonly Platform[];
  const { digest } = selectPlatform(parsed, platform!);
  const at = makeReference({ ...parseReference(reference), tag: undefined, digest }).toString();
  return await registry.fetchManifest({ reference: at, signal });
}
