import { type Digest, parseDigest, sha256 } from "../bytes/index.js";
import { mediaTypes, type Platform, parseManifest, parseManifestOrIndex } from "../oci/index.js";
import { type OciDocument, ociDocument } from "./build-index.js";
import { arrayAt, asFields, type Fields, fieldsAt, parseFields, refuseIndex, textAt } from "./json-fields.js";
import { artifactTypes, sociAnnotations } from "./names.js";

/** BuildKit's: an attestation in an image index says which image it is about. */
const ATTESTED_ANNOTATION = "vnd.docker.reference.digest";

export interface EmbedOptions {
  /** The image: an index, or one manifest. */
  readonly image: Uint8Array;
  /** What the config of a single manifest says; an image index has it for each of its manifests. */
  readonly platform?: Platform | undefined;
  /** The manifests of an image index by their digest. Those that are missing stay as they are. */
  readonly manifests: ReadonlyMap<Digest, Uint8Array>;
  /** The v2 indexes, by the digest of the image manifest that each one is about. */
  readonly sociIndexes: ReadonlyMap<Digest, Pick<OciDocument, "digest" | "size">>;
}

export interface EmbeddedImage {
  /** The image as an OCI index, with the SOCI indexes among its manifests. */
  readonly index: OciDocument;
  /** Image manifests that are new, by the digest that each one had. */
  readonly manifests: ReadonlyMap<Digest, OciDocument>;
}

/** What is embedded for one platform. */
export interface EmbeddedIndex {
  readonly digest: Digest;
  readonly size: number;
  readonly imageManifestDigest: Digest | undefined;
}

/**
 * Binds v2 indexes to an image, as `soci convert` does: each manifest names its index, has OCI media types and so a new
 * digest, and the image index holds both. Layers and configs stay as they are.
 */
export function embedSociIndexes(options: EmbedOptions): EmbeddedImage {
  const { sociIndexes } = options;
  const renamed = new Map<Digest, OciDocument>();
  const embedded: Fields[] = [];
  const source = sourceOf(options);
  const described = arrayAt(source.index, "manifests").map((value) => {
    const descriptor = asFields(value);
    const digest = parseDigest(descriptor.digest);
    const bytes = source.manifests.get(digest);
    if (bytes === undefined || isSociIndex(descriptor)) return descriptor;
    const sociIndex = sociIndexes.get(digest);
    const document = ociManifest(bytes, sociIndex?.digest);
    renamed.set(digest, document);
    if (sociIndex !== undefined) embedded.push(indexDescriptor(sociIndex, descriptor, document.digest));
    const { annotations } = parseFields(document.bytes);
    return {
      ...descriptor,
      mediaType: document.mediaType,
      digest: document.digest,
      size: document.size,
      ...(annotations === undefined ? {} : { annotations: merged(descriptor, asFields(annotations)) }),
    };
  });
  if (embedded.length < sociIndexes.size) throw refuseIndex("an index is of no manifest of the image");
  const platforms = new Set(embedded.map(platformName));
  const kept = described.filter(
    (descriptor) => !isSociIndex(descriptor) || !platforms.has(platformName(descriptor)),
  );
  const manifests = [...kept.map((descriptor) => followAttested(descriptor, renamed)), ...embedded];
  const rest = { ...source.index, schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests };
  return { index: ociDocument(mediaTypes.ociIndex, rest), manifests: renamed };
}

/** The v2 indexes in an image index. @throws INVALID_ARGUMENT */
export function embeddedSociIndexes(image: Uint8Array): EmbeddedIndex[] {
  if (parseManifestOrIndex(image).kind !== "index") return [];
  return arrayAt(parseFields(image), "manifests")
    .map(asFields)
    .filter(isSociIndex)
    .map((descriptor) => {
      const about = textAt(fieldsAt(descriptor, "annotations"), sociAnnotations.imageManifestDigest);
      return {
        digest: parseDigest(descriptor.digest),
        size: descriptor.size as number,
        imageManifestDigest: about === undefined ? undefined : parseDigest(about),
      };
    });
}

/** The image's index, or one made for its only manifest. */
function sourceOf(options: EmbedOptions): { index: Fields; manifests: EmbedOptions["manifests"] } {
  const { image, platform } = options;
  const document = parseManifestOrIndex(image);
  if (document.kind === "index") return { index: parseFields(image), manifests: options.manifests };
  if (platform === undefined) throw refuseIndex("want the platform of a single manifest");
  const digest = sha256(image);
  const descriptor = { mediaType: document.mediaType, digest, size: image.length, platform };
  return { index: { schemaVersion: 2, manifests: [descriptor] }, manifests: new Map([[digest, image]]) };
}

function isSociIndex(descriptor: Fields): boolean {
  return textAt(descriptor, "artifactType") === artifactTypes[2];
}

function platformName(descriptor: Fields): string {
  const platform = fieldsAt(descriptor, "platform");
  return ["os", "architecture", "variant"].map((key) => textAt(platform, key) ?? "").join("/");
}

function ociManifest(bytes: Uint8Array, sociIndex: Digest | undefined): OciDocument {
  parseManifest(bytes);
  const { schemaVersion, mediaType: _, config, annotations, ...rest } = parseFields(bytes);
  const notes = { ...(annotations === undefined ? {} : asFields(annotations)) };
  if (sociIndex !== undefined) notes[sociAnnotations.indexDigest] = sociIndex;
  return ociDocument(mediaTypes.ociManifest, {
    schemaVersion,
    mediaType: mediaTypes.ociManifest,
    config: ociConfig(asFields(config)),
    ...rest,
    ...(Object.keys(notes).length === 0 ? {} : { annotations: notes }),
  });
}

/** Registries take a manifest of OCI's with a config of Docker's for something that is no image. */
function ociConfig(config: Fields): Fields {
  return config.mediaType === mediaTypes.dockerConfig
    ? { ...config, mediaType: mediaTypes.ociConfig }
    : config;
}

function indexDescriptor(
  sociIndex: Pick<OciDocument, "digest" | "size">,
  image: Fields,
  imageDigest: Digest,
): Fields {
  if (image.platform === undefined) throw refuseIndex("a manifest has no platform");
  return {
    mediaType: mediaTypes.ociManifest,
    digest: sociIndex.digest,
    size: sociIndex.size,
    annotations: { [sociAnnotations.imageManifestDigest]: imageDigest },
    platform: image.platform,
    artifactType: artifactTypes[2],
  };
}

function merged(descriptor: Fields, annotations: Fields): Fields {
  return { ...fieldsAt(descriptor, "annotations"), ...annotations };
}

/** An attestation goes on to be about its image when that has a new digest. */
function followAttested(descriptor: Fields, renamed: ReadonlyMap<Digest, OciDocument>): Fields {
  const annotations = fieldsAt(descriptor, "annotations");
  const document = renamed.get(textAt(annotations, ATTESTED_ANNOTATION) as Digest);
  if (document === undefined) return descriptor;
  return { ...descriptor, annotations: { ...annotations, [ATTESTED_ANNOTATION]: document.digest } };
}
