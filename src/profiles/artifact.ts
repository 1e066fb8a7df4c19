import { type Digest, parseJson, sha256 } from "../bytes/index.js";
import { invalidArgument, type LazuliError } from "../errors/index.js";
import { type Descriptor, MANIFEST_BYTES_MAX, mediaTypes, parseManifest } from "../oci/index.js";
import type { Profile } from "./contract.js";
import { PROFILE_BYTES_MAX } from "./limits.js";
import { encodeProfile, PROFILE_MEDIA_TYPE } from "./profile-document.js";

/** Image-spec, "Guidance for an Empty Descriptor". */
export const emptyConfig = {
  mediaType: "application/vnd.oci.empty.v1+json",
  bytes: Buffer.from("{}"),
} as const;

/** How many starts a profile is of: the one of the most is tried first. */
export const STARTS_ANNOTATION = "dev.lazuli.profile.starts";

export interface MadeArtifact {
  readonly manifest: { readonly bytes: Buffer; readonly digest: Digest; readonly mediaType: string };
  readonly document: { readonly bytes: Buffer; readonly digest: Digest };
  /** What stands for it in a list of referrers. */
  readonly listed: Readonly<Record<string, unknown>>;
}

/** The manifest of a profile that refers to an image's. Nothing in it depends on when it is made. */
export function makeArtifact(
  profile: Profile,
  subject: Pick<Descriptor, "mediaType" | "digest" | "size">,
): MadeArtifact {
  const document = encodeProfile(profile);
  const digest = sha256(document);
  const annotations = { [STARTS_ANNOTATION]: String(profile.starts) };
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: mediaTypes.ociManifest,
      artifactType: PROFILE_MEDIA_TYPE,
      config: {
        mediaType: emptyConfig.mediaType,
        digest: sha256(emptyConfig.bytes),
        size: emptyConfig.bytes.length,
      },
      layers: [{ mediaType: PROFILE_MEDIA_TYPE, digest, size: document.length }],
      subject: { mediaType: subject.mediaType, digest: subject.digest, size: subject.size },
      annotations,
    }),
  );
  const named = { mediaType: mediaTypes.ociManifest, digest: sha256(manifest) };
  return {
    manifest: { bytes: manifest, ...named },
    document: { bytes: document, digest },
    listed: { ...named, size: manifest.length, artifactType: PROFILE_MEDIA_TYPE, annotations },
  };
}

/**
 * Where the document of an artifact is, whose digest was checked.
 * @throws INVALID_ARGUMENT `profile-artifact-invalid`, `profile-other-image`, those of parseManifest()
 */
export function parseArtifact(
  bytes: Uint8Array,
  { subject }: { readonly subject: Digest },
): Pick<Descriptor, "digest" | "size"> {
  const { config, layers } = parseManifest(bytes);
  const fields = parseJson(bytes, { maxBytes: MANIFEST_BYTES_MAX, maxDepth: 32, maxNodes: 100_000 }) as {
    readonly artifactType?: unknown;
    readonly subject?: { readonly digest?: unknown } | null;
  };
  const type = fields.artifactType ?? config.mediaType;
  if (type !== PROFILE_MEDIA_TYPE) throw refused("its artifactType is not a profile's");
  if (fields.subject?.digest !== subject) {
    throw invalidArgument(`Cannot use profile: want one of ${subject}, got one of another image`, {
      subject,
      reason: "profile-other-image",
    });
  }
  const [layer, ...more] = layers;
  if (layer === undefined || more.length > 0) throw refused(`want one document, got ${layers.length}`);
  if (layer.mediaType !== PROFILE_MEDIA_TYPE) throw refused("its document is of another media type");
  if (layer.size > PROFILE_BYTES_MAX) throw refused(`its document has ${layer.size} bytes`);
  return { digest: layer.digest, size: layer.size };
}

function refused(problem: string): LazuliError {
  return invalidArgument(`Cannot use profile: ${problem}`, { reason: "profile-artifact-invalid" });
}
