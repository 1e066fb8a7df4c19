import { type Digest, parseDigest } from "../bytes/index.js";
import { failedPrecondition, invalidArgument, LazuliError } from "../errors/index.js";
import { FINE_ARTIFACT_TYPE, parseFineManifest } from "../fine/index.js";
import { type Descriptor, parseManifest, parseManifestOrIndex } from "../oci/index.js";
import { artifactTypes, parseSociIndex } from "../soci/index.js";
import type { ImageSource, ImageTarget, Waiting } from "./contract.js";
import { copyBlob } from "./copy-blob.js";
import { changedIndex, fieldsAt, parseFields } from "./documents.js";

const indexTypes: readonly string[] = [artifactTypes[1], FINE_ARTIFACT_TYPE];

export interface PushIndexOptions extends Waiting {
  /** Where indexImage() has put indexes. */
  readonly source: ImageSource;
  /** The repository of the image, for writing and for reading. */
  readonly target: ImageTarget;
  readonly place: ImageSource;
}

export interface PushedIndex {
  readonly digest: Digest;
  /** The image's manifest. */
  readonly subject: Digest;
  /** How the registry finds it: by its referrers API, or by the tag that stands in for it. */
  readonly listedBy: "referrers" | "tag";
}

/**
 * Pushes SOCI indexes (v1) and ours as what refers to the manifests of an image (distribution-spec, "Pushing Manifests with
 * Subject"). Two that do so at once for a registry without the API may lose one from the tag's list.
 * @throws as the places; INVALID_ARGUMENT `index-list-wanted`; FAILED_PRECONDITION `subject-missing`
 */
export async function pushIndexes(options: PushIndexOptions): Promise<readonly PushedIndex[]> {
  const { source, signal } = options;
  const root = await source.root({ signal });
  const parsed = parseManifestOrIndex(root.bytes, { contentType: root.mediaType });
  const listed = parsed.kind === "index" ? parsed.manifests : [];
  const indexes = listed.filter(({ artifactType }) => indexTypes.includes(artifactType ?? ""));
  if (indexes.length === 0) {
    throw invalidArgument(`Cannot push ${source.description}: it holds no indexes`, {
      subject: source.description,
      reason: "index-list-wanted",
      hint: "`lazuli index create IMAGE oci:FOLDER` makes them",
    });
  }
  const pushed: PushedIndex[] = [];
  for (const descriptor of indexes) pushed.push(await pushOne(descriptor, options));
  return pushed;
}

async function pushOne(descriptor: Descriptor, options: PushIndexOptions): Promise<PushedIndex> {
  const { source, target, place, signal } = options;
  const { digest, mediaType } = descriptor;
  const { bytes } = await source.document(descriptor, { signal });
  const { artifactType } = descriptor;
  const subject = artifactType === FINE_ARTIFACT_TYPE ? fineSubject(bytes) : parseSociIndex(bytes).subject;
  if (subject === undefined)
    throw invalidArgument(`Cannot push ${digest}: it has no subject`, { subject: digest });
  await requireSubject(place, subject, signal);
  const { config, layers } = parseManifest(bytes, { contentType: mediaType });
  for (const blob of [config, ...layers]) await copyBlob({ source, target, signal }, blob);
  await target.pushManifest({ bytes, digest, mediaType, signal });
  const known = await place.referrers(subject, { signal });
  if (known.some((one) => one.digest === digest)) return { digest, subject, listedBy: "referrers" };
  const own = { mediaType, digest, size: bytes.length, artifactType };
  const others = known.map(({ platform: _, ...one }) => ({ ...one }));
  const list = changedIndex({ schemaVersion: 2 }, [...others, own]);
  await target.pushManifest({ ...list, tag: subject.replace(":", "-"), signal });
  return { digest, subject, listedBy: "tag" };
}

/** @throws as parseFineManifest() */
function fineSubject(bytes: Buffer): Digest {
  const subject = parseDigest(fieldsAt(parseFields(bytes), "subject").digest);
  parseFineManifest(bytes, { subject });
  return subject;
}

async function requireSubject(
  place: ImageSource,
  subject: Digest,
  signal: AbortSignal | undefined,
): Promise<void> {
  try {
    await place.document({ digest: subject }, { signal });
  } catch (thrown) {
    if (!(thrown instanceof LazuliError) || thrown.code !== "NOT_FOUND") throw thrown;
    throw failedPrecondition(
      `Cannot push an index to ${place.description}: the image ${subject} is not there`,
      {
        subject,
        reason: "subject-missing",
        hint: "Push to the repository of the image that the index was made of, or push the image there first",
        cause: thrown,
      },
    );
  }
}
