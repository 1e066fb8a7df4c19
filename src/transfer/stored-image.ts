import { createHash } from "node:crypto";
import { type Digest, digestAlgorithm, parseDigest } from "../bytes/index.js";
import type { ContentStore } from "../content/index.js";
import { dataLoss, invalidArgument, resourceExhausted } from "../errors/index.js";
import {
  type Descriptor,
  isIndexType,
  isManifestType,
  layerType,
  MANIFEST_BYTES_MAX,
  mediaTypes,
  parseManifestOrIndex,
} from "../oci/index.js";
import type { Waiting } from "./contract.js";
import { hasCode } from "./transfer-errors.js";

const REF_NAME_ANNOTATION = "org.opencontainers.image.ref.name";

export function isLayer({ mediaType }: Pick<Descriptor, "mediaType">): boolean {
  return mediaType.startsWith("application/vnd.oci.image.layer.") || layerType(mediaType) !== undefined;
}

export function isConfig({ mediaType }: Pick<Descriptor, "mediaType">): boolean {
  return mediaType === mediaTypes.ociConfig || mediaType === mediaTypes.dockerConfig;
}

export function isNonDistributable({ mediaType }: Pick<Descriptor, "mediaType">): boolean {
  return (
    mediaType.startsWith("application/vnd.oci.image.layer.nondistributable.") ||
    mediaType.startsWith("application/vnd.docker.image.rootfs.foreign.")
  );
}

/** The name of a blob's ingest and of its progress, as containerd's clients name it (remotes.MakeRefKey). */
export function refKey(descriptor: Descriptor): string {
  const { mediaType, digest, annotations } = descriptor;
  const name = annotations[REF_NAME_ANNOTATION];
  const key = name === undefined ? digest : `${name}@${digest}`;
  if (isManifestType(mediaType)) return `manifest-${key}`;
  if (isIndexType(mediaType)) return `index-${key}`;
  if (isLayer(descriptor)) return `layer-${key}`;
  if (isConfig(descriptor)) return `config-${key}`;
  return mediaType === "application/vnd.in-toto+json" ? `attestation-${key}` : `unknown-${key}`;
}

/** A blob as a whole, verified. @throws NOT_FOUND, RESOURCE_EXHAUSTED, DATA_LOSS */
export async function readStored(
  store: ContentStore,
  digest: Digest,
  options: Waiting & { readonly bytesMax: number },
): Promise<Buffer> {
  await using reader = await store.open(digest, { signal: options.signal });
  if (reader.size > options.bytesMax) {
    throw resourceExhausted(
      `Cannot read ${digest}: want at most ${options.bytesMax} bytes, got ${reader.size}`,
      {
        subject: digest,
        reason: "blob-too-large",
      },
    );
  }
  const bytes = Buffer.from(await reader.read(0, reader.size));
  const algorithm = digestAlgorithm(digest);
  const actual = `${algorithm}:${createHash(algorithm).update(bytes).digest("hex")}`;
  if (actual === digest) return bytes;
  throw dataLoss(`Cannot use ${digest}: its bytes have the digest ${actual}`, {
    subject: digest,
    reason: "digest-mismatch",
  });
}

/** What a descriptor names directly: config and layers of a manifest, manifests of an index, nothing of a blob. */
export async function childrenOf(
  store: ContentStore,
  descriptor: Descriptor,
  options: Waiting,
): Promise<readonly Descriptor[]> {
  const { mediaType, digest } = descriptor;
  if (!isManifestType(mediaType) && !isIndexType(mediaType)) return [];
  const bytes = await readStored(store, digest, { ...options, bytesMax: MANIFEST_BYTES_MAX });
  const document = parseManifestOrIndex(bytes, { contentType: mediaType });
  if ((document.kind === "index") !== isIndexType(mediaType)) {
    throw invalidArgument(`children: invalid desc ${digest}: it is of another media type than ${mediaType}`, {
      subject: digest,
      reason: "manifest-invalid",
    });
  }
  return document.kind === "index" ? document.manifests : [document.config, ...document.layers];
}

/** Labels with which a blob keeps its children, numbered by kind (images.ChildGCLabels). */
export async function labelChildren(
  store: ContentStore,
  digest: Digest,
  children: readonly Descriptor[],
): Promise<void> {
  const counts = new Map<string, number>();
  const labels: Record<string, string> = {};
  for (const child of children) {
    const prefix = childLabel(child);
    const count = counts.get(prefix) ?? 0;
    counts.set(prefix, count + 1);
    labels[count > 0 || prefix.endsWith(".") ? `${prefix}${count}` : prefix] = child.digest;
  }
  await setLabels(store, digest, labels);
}

function childLabel(child: Descriptor): string {
  const base = "containerd.io/gc.ref.content.";
  if (isConfig(child)) return `${base}config`;
  if (isManifestType(child.mediaType)) return `${base}m.`;
  return isLayer(child) ? `${base}l.` : base;
}

/** Sets these labels and leaves the others. @throws NOT_FOUND */
export async function setLabels(
  store: ContentStore,
  digest: Digest,
  labels: Readonly<Record<string, string>>,
): Promise<void> {
  const keys = Object.keys(labels);
  if (keys.length === 0) return;
  await store.update({ digest, labels, fieldPaths: keys.map((key) => `labels.${key}`) });
}

const SOURCE_LABEL = "containerd.io/distribution.source.";
/** Bytes of a label's key and value together (containerd pkg/labels). */
const LABEL_BYTES_MAX = 4096;

export interface BlobPlace {
  /** Without a port. */
  readonly hostname: string;
  readonly repository: string;
}

/** Notes beside a blob where it can be had; nothing for one that is not in the store. */
export async function labelSource(store: ContentStore, digest: Digest, place: BlobPlace): Promise<void> {
  const key = `${SOURCE_LABEL}${place.hostname}`;
  try {
    const { labels } = await store.info(digest);
    const known = (labels[key] ?? "").split(",").filter((one) => one !== "");
    if (known.includes(place.repository)) return;
    const value = [...known, place.repository].sort().join(",");
    if (Buffer.byteLength(key) + Buffer.byteLength(value) > LABEL_BYTES_MAX) return;
    await setLabels(store, digest, { [key]: value });
  } catch (thrown) {
    if (!hasCode(thrown, "NOT_FOUND")) throw thrown;
  }
}

/** Repositories of a host that have a blob, by its labels. */
export function sourcesOf(labels: Readonly<Record<string, string>>, hostname: string): readonly string[] {
  return (labels[`${SOURCE_LABEL}${hostname}`] ?? "").split(",").filter((one) => one !== "");
}

/** The labels that tell where a blob can be had. */
export function sourceLabels(labels: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(labels).filter(([key]) => key.startsWith(SOURCE_LABEL.slice(0, -1))),
  );
}

/** A descriptor that a client or a table has. @throws INVALID_ARGUMENT */
export function descriptorOf(target: {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly annotations?: Readonly<Record<string, string>>;
}): Descriptor {
  const { mediaType, digest, size, annotations = {} } = target;
  return { mediaType, digest: parseDigest(digest), size, annotations, platform: undefined };
}
