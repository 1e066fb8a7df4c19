import { type Digest, sha256 } from "../bytes/index.js";
import { TOC_DIGEST_ANNOTATION, UNCOMPRESSED_SIZE_ANNOTATION } from "../estargz/index.js";
import { type Descriptor, layerType, mediaTypes, type Platform } from "../oci/index.js";
import { sociAnnotations } from "../soci/index.js";
import {
  MANIFEST_CHECKSUM_ANNOTATION,
  MANIFEST_POSITION_ANNOTATION,
  STARGZ_MANIFEST_CHECKSUM_ANNOTATION,
  STARGZ_MANIFEST_POSITION_ANNOTATION,
  TAR_SPLIT_CHECKSUM_ANNOTATION,
  TAR_SPLIT_POSITION_ANNOTATION,
} from "../zstdchunked/index.js";

/** A JSON object that parseManifestOrIndex() or parseImageConfig() has checked, with all that they leave out. */
export type Fields = Readonly<Record<string, unknown>>;

/** A document that was made, by its name. */
export interface MadeDocument {
  readonly bytes: Buffer;
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
}

/** stargz-snapshotter's: on a layer of a TOC image, the layer that it is of. */
const TOC_OF_LAYER_ANNOTATION = "containerd.io/snapshot/stargz/layer.digest";

/** They tell of the bytes of a layer, and say nothing of other bytes. */
const formatAnnotations: readonly string[] = [
  TOC_DIGEST_ANNOTATION,
  UNCOMPRESSED_SIZE_ANNOTATION,
  MANIFEST_CHECKSUM_ANNOTATION,
  MANIFEST_POSITION_ANNOTATION,
  STARGZ_MANIFEST_CHECKSUM_ANNOTATION,
  STARGZ_MANIFEST_POSITION_ANNOTATION,
  TAR_SPLIT_CHECKSUM_ANNOTATION,
  TAR_SPLIT_POSITION_ANNOTATION,
];

export function parseFields(bytes: Uint8Array): Fields {
  return JSON.parse(Buffer.from(bytes).toString("utf8")) as Fields;
}

export function fieldsAt(fields: Fields, key: string): Fields {
  const value = fields[key];
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : {};
}

export function listAt(fields: Fields, key: string): readonly Fields[] {
  const value = fields[key];
  return Array.isArray(value) ? (value as readonly Fields[]) : [];
}

export function madeDocument(mediaType: string, value: object): MadeDocument {
  const bytes = Buffer.from(JSON.stringify(value));
  return { bytes, mediaType, digest: sha256(bytes), size: bytes.length };
}

export function descriptorOf({ mediaType, digest, size }: Omit<MadeDocument, "bytes">): Descriptor {
  return { mediaType, digest, size, annotations: {}, platform: undefined };
}

/** `linux/arm64/v8`. */
export function platformText({ os, architecture, variant }: Platform): string {
  return [os, architecture, variant].filter((part) => part !== undefined && part !== "").join("/");
}

/** The descriptor of a layer that stays as it is, with OCI's media type for Docker's, whose layers have no annotations. */
export function keptLayer(descriptor: Fields): Fields {
  const mediaType = String(descriptor.mediaType);
  const type = layerType(mediaType);
  if (type === undefined || type.encrypted || !mediaType.startsWith("application/vnd.docker."))
    return descriptor;
  const compression = type.compression === "none" ? "" : `+${type.compression}`;
  const base = type.distributable
    ? mediaTypes.ociLayer
    : "application/vnd.oci.image.layer.nondistributable.v1.tar";
  return { ...descriptor, mediaType: `${base}${compression}` };
}

/** The descriptor of a layer that was made anew; annotations that don't depend on its bytes stay. */
export function changedLayer(
  descriptor: Fields,
  layer: {
    readonly mediaType: string;
    readonly digest: Digest;
    readonly size: number;
    readonly annotations: Readonly<Record<string, string>>;
  },
): Fields {
  const { urls: _, data: __, annotations: before, ...rest } = descriptor;
  const kept = Object.entries(fieldsAt({ before }, "before")).filter(
    ([key]) => !formatAnnotations.includes(key),
  );
  const annotations = { ...Object.fromEntries(kept), ...layer.annotations };
  const { mediaType, digest, size } = layer;
  const all = Object.keys(annotations).length === 0 ? {} : { annotations };
  return { ...rest, mediaType, digest, size, ...all };
}

/** The config with other diff ids. Its history has as many layers as before and stays. */
export function changedConfig(config: Buffer, diffIds: readonly Digest[]): Buffer {
  const fields = parseFields(config);
  const rootfs = fieldsAt(fields, "rootfs");
  const before = Array.isArray(rootfs.diff_ids) ? rootfs.diff_ids : [];
  if (before.length === diffIds.length && diffIds.every((diffId, index) => diffId === before[index]))
    return config;
  return Buffer.from(JSON.stringify({ ...fields, rootfs: { ...rootfs, diff_ids: diffIds } }));
}

/** An image's manifest with other layers and config, as OCI has it. A SOCI index that it names is of other layers. */
export function changedManifest(
  manifest: Fields,
  parts: { readonly layers: readonly Fields[]; readonly config: Buffer },
): MadeDocument {
  const { schemaVersion, mediaType: _, config, layers: __, annotations: before, ...rest } = manifest;
  const kept = Object.entries(fieldsAt({ before }, "before")).filter(
    ([key]) => key !== sociAnnotations.indexDigest,
  );
  const digest = sha256(parts.config);
  const { data: ___, ...configFields } = config as Fields;
  return madeDocument(mediaTypes.ociManifest, {
    schemaVersion,
    mediaType: mediaTypes.ociManifest,
    config: { ...configFields, mediaType: mediaTypes.ociConfig, digest, size: parts.config.length },
    layers: parts.layers,
    ...rest,
    ...(kept.length === 0 ? {} : { annotations: Object.fromEntries(kept) }),
  });
}

export function changedIndex(index: Fields, manifests: readonly Fields[]): MadeDocument {
  const { schemaVersion, mediaType: _, manifests: __, ...rest } = index;
  const mediaType = mediaTypes.ociIndex;
  return madeDocument(mediaType, { schemaVersion, mediaType, manifests, ...rest });
}

export const tocImageConfig: Buffer = Buffer.from("{}");

/** The image that has the TOCs of layers, for `<name>-esgztoc`, as stargz-snapshotter looks for it. */
export function tocImage(
  tocs: ReadonlyMap<Digest, { readonly digest: Digest; readonly size: number }>,
): MadeDocument {
  const layers = [...tocs]
    .sort(([left], [right]) => (left < right ? -1 : 1))
    .map(([layer, { digest, size }]) => ({
      mediaType: mediaTypes.ociLayerGzip,
      digest,
      size,
      annotations: { [TOC_OF_LAYER_ANNOTATION]: layer },
    }));
  return madeDocument(mediaTypes.ociManifest, {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: { mediaType: mediaTypes.ociConfig, digest: sha256(tocImageConfig), size: tocImageConfig.length },
    layers,
  });
}
