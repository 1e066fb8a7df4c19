import { type Digest, sha256 } from "../bytes/index.js";
import { failedPrecondition, invalidArgument } from "../errors/index.js";
import { mediaTypes, parseManifestOrIndex } from "../oci/index.js";
import type { PushTarget, Registry } from "../registry/index.js";
import { emptyConfig, makeArtifact } from "./artifact.js";
import type { Profile } from "./contract.js";

export interface PublishProfile {
  readonly registry: Pick<Registry, "referrers" | "fetchManifest" | "pushTarget">;
  /** Of the image: where the profile goes. */
  readonly reference: string;
  /** The image's manifest, as the registry has it. */
  readonly subject: { readonly bytes: Buffer; readonly digest: Digest; readonly mediaType: string };
  readonly profile: Profile;
  readonly signal?: AbortSignal | undefined;
}

export interface PublishedArtifact {
  /** Of its manifest: what `[profiles] trusted` can name. */
  readonly digest: Digest;
  readonly document: Digest;
  readonly sizeBytes: number;
  readonly subject: Digest;
  /** How the registry finds it: by its referrers API, or by the tag that stands in for it. */
  readonly listedBy: "referrers" | "tag";
}

/**
 * Pushes a profile as what refers to the manifest of an image (distribution-spec, "Pushing Manifests with Subject"). Of
 * the command only the program goes along: arguments may hold secrets. Two that do so at once for a registry without the
 * API may lose one from the tag's list. @throws as PushTarget; FAILED_PRECONDITION `profile-other-image`
 */
export async function publishProfile(options: PublishProfile): Promise<PublishedArtifact> {
  const { registry, reference, subject, signal } = options;
  const { digest: image, bytes } = subject;
  if (options.profile.manifest !== image) {
    throw failedPrecondition(
      `Cannot push profile to ${reference}: it is of ${options.profile.manifest ?? "an unknown image"}, the image is ${image}`,
      {
        subject: image,
        reason: "profile-other-image",
        hint: "Start the image that the registry has now, so that its profile is learnt, or name the old one by its digest",
      },
    );
  }
  const { kind, mediaType } = parseManifestOrIndex(bytes, { contentType: subject.mediaType });
  if (kind !== "manifest") throw invalidArgument("Cannot push profile: want a manifest of one platform");
  const profile = { ...options.profile, command: options.profile.command?.slice(0, 1) };
  const { manifest, document, listed } = makeArtifact(profile, {
    mediaType,
    digest: image,
    size: bytes.length,
  });
  const target = await registry.pushTarget(reference);
  const config = { bytes: emptyConfig.bytes, digest: sha256(emptyConfig.bytes) };
  for (const blob of [config, document]) await pushBytes(target, blob, signal);
  await target.pushManifest({ ...manifest, signal });
  const facts = {
    digest: manifest.digest,
    document: document.digest,
    sizeBytes: document.bytes.length,
    subject: image,
  };
  const known = await registry.referrers({ reference, subject: image, signal });
  if (known.some(({ digest }) => digest === manifest.digest)) return { ...facts, listedBy: "referrers" };
  const others = known.map(({ platform: _, ...one }) => one);
  const list = Buffer.from(
    JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [...others, listed] }),
  );
  const tag = image.replace(":", "-");
  await target.pushManifest({
    bytes: list,
    digest: sha256(list),
    mediaType: mediaTypes.ociIndex,
    tag,
    signal,
  });
  return { ...facts, listedBy: "tag" };
}

async function pushBytes(
  target: PushTarget,
  { bytes, digest }: { readonly bytes: Buffer; readonly digest: Digest },
  signal: AbortSignal | undefined,
): Promise<void> {
  await target.pushBlob({
    digest,
    size: bytes.length,
    open: async function* () {
      yield bytes;
    },
    signal,
  });
}
