import { type Digest, parseDigest } from "../bytes/index.js";
import { invalidArgument } from "../errors/index.js";
import { type Descriptor, parseManifest } from "../oci/index.js";
import { type Fields, fieldsAt, parseFields, refuseIndex, textAt } from "./json-fields.js";
import { PREFETCH_BYTES_MAX, ZTOC_BYTES_MAX } from "./limits.js";
import { artifactTypes, type IndexVersion, sociAnnotations, sociMediaTypes } from "./names.js";

/** A zTOC that an index names. */
export interface ZtocReference {
  readonly digest: Digest;
  readonly size: number;
  readonly layerDigest: Digest;
  readonly layerMediaType: string;
  /** What its writer aimed at, in bytes; undefined where the index does not say. */
  readonly spanSize: number | undefined;
  /** The layer has no extended attributes and no opaque directory. */
  readonly disablesXattrs: boolean;
}

/** A prefetch artifact that an index names. */
export interface PrefetchReference {
  readonly digest: Digest;
  readonly size: number;
  readonly layerDigest: Digest;
}

export interface SociIndex {
  readonly version: IndexVersion;
  readonly buildTool: string | undefined;
  /** The image manifest that a v1 index is about. */
  readonly subject: Digest | undefined;
  /** By the digest of the layer. */
  readonly ztocs: ReadonlyMap<Digest, ZtocReference>;
  readonly prefetches: ReadonlyMap<Digest, PrefetchReference>;
}

export interface ParseIndexOptions {
  /**
   * The image manifest for which a referrer was found: its index must name it as its subject. Left out where the manifest
   * or the operator named the index.
   */
  readonly subject?: Digest | undefined;
}

/**
 * Reads a SOCI index manifest, v1 or v2, whose digest was checked.
 *
 * @throws INVALID_ARGUMENT with reason `soci-index-invalid`, `soci-index-other-image`, `soci-index-ambiguous`, or those of
 * parseManifest()
 */
export function parseSociIndex(bytes: Uint8Array, options: ParseIndexOptions = {}): SociIndex {
  const manifest = parseManifest(bytes);
  const fields = parseFields(bytes);
  const version = versionOf(manifest.config.mediaType, textAt(fields, "artifactType"));
  const subject = subjectOf(fields);
  if (options.subject !== undefined && subject !== options.subject) {
    throw invalidArgument(
      `Cannot use SOCI index: want one of ${options.subject}, got one of ${subject ?? "no image"}`,
      {
        reason: "soci-index-other-image",
      },
    );
  }
  const ztocs = new Map<Digest, ZtocReference>();
  const prefetches = new Map<Digest, PrefetchReference>();
  for (const layer of manifest.layers) {
    if (layer.mediaType === sociMediaTypes.ztoc) addOnce(ztocs, ztocReference(layer));
    else if (layer.mediaType === sociMediaTypes.prefetch) addOnce(prefetches, prefetchReference(layer));
  }
  return { version, buildTool: manifest.annotations[sociAnnotations.buildTool], subject, ztocs, prefetches };
}

/** The config's media type tells the version, as its readers take it; an artifactType must say the same. */
function versionOf(configType: string, artifactType: string | undefined): IndexVersion {
  for (const version of [1, 2] as const) {
    if (configType !== artifactTypes[version]) continue;
    if (artifactType === undefined || artifactType === "" || artifactType === configType) return version;
    throw refuseIndex("its artifactType is not the media type of its config");
  }
  throw refuseIndex(`the media type of its config is none of SOCI's`);
}

function subjectOf(fields: Fields): Digest | undefined {
  const subject = fieldsAt(fields, "subject");
  return Object.keys(subject).length === 0 ? undefined : parseDigest(subject.digest);
}

function ztocReference(layer: Descriptor): ZtocReference {
  if (layer.size > ZTOC_BYTES_MAX) throw refuseIndex(`a zTOC has ${layer.size} bytes`);
  const spanSize = layer.annotations[sociAnnotations.spanSize];
  if (spanSize !== undefined && !/^[0-9]{1,15}$/.test(spanSize))
    throw refuseIndex("a span size is no number");
  return {
    digest: layer.digest,
    size: layer.size,
    layerDigest: parseDigest(layer.annotations[sociAnnotations.layerDigest]),
    layerMediaType: layer.annotations[sociAnnotations.layerMediaType] ?? "",
    spanSize: spanSize === undefined ? undefined : Number(spanSize),
    disablesXattrs: layer.annotations[sociAnnotations.disableXattrs] === "true",
  };
}

function prefetchReference(layer: Descriptor): PrefetchReference {
  if (layer.size > PREFETCH_BYTES_MAX) throw refuseIndex(`a prefetch artifact has ${layer.size} bytes`);
  const layerDigest = parseDigest(layer.annotations[sociAnnotations.layerDigest]);
  return { digest: layer.digest, size: layer.size, layerDigest };
}

/** An image may have a layer twice, and then its index has the same zTOC twice. */
function addOnce<Reference extends PrefetchReference>(
  known: Map<Digest, Reference>,
  reference: Reference,
): void {
  const before = known.get(reference.layerDigest);
  if (before !== undefined && before.digest !== reference.digest) {
    throw invalidArgument(
      `Cannot use SOCI index: it has two different artifacts for ${reference.layerDigest}`,
      {
        reason: "soci-index-ambiguous",
        subject: reference.layerDigest,
      },
    );
  }
  known.set(reference.layerDigest, reference);
}
