import { type Digest, sha256 } from "../bytes/index.js";
import { assert } from "../errors/index.js";
import { mediaTypes } from "../oci/index.js";
import { artifactTypes, type IndexVersion, sociAnnotations, sociMediaTypes } from "./names.js";
import type { PrefetchReference, ZtocReference } from "./parse-index.js";

/** A document as it is pushed. */
export interface OciDocument {
  readonly bytes: Buffer;
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
}

export interface BuildIndexOptions {
  readonly version: IndexVersion;
  /** In the order of the image's layers. */
  readonly ztocs: readonly ZtocReference[];
  readonly prefetches?: readonly PrefetchReference[] | undefined;
  readonly buildTool: string;
  /** The image manifest. A v1 index is found by it, a v2 index has none. */
  readonly subject?:
    | { readonly mediaType: string; readonly digest: Digest; readonly size: number }
    | undefined;
}

/** The bytes of every SOCI index's config, which has to be pushed as well. */
export const sociConfigBytes = Buffer.from("{}");

/** Writes a SOCI index manifest with the keys in the order in which soci has them. */
export function buildSociIndex(options: BuildIndexOptions): OciDocument {
  const { version, subject } = options;
  assert((version === 1) === (subject !== undefined), "a v1 index has a subject, a v2 index none");
  const layers = [
    ...options.ztocs.map((ztoc) => ({
      mediaType: sociMediaTypes.ztoc,
      digest: ztoc.digest,
      size: ztoc.size,
      annotations: ztocAnnotations(ztoc),
    })),
    ...(options.prefetches ?? []).map(({ digest, size, layerDigest }) => ({
      mediaType: sociMediaTypes.prefetch,
      digest,
      size,
      annotations: { [sociAnnotations.layerDigest]: layerDigest },
    })),
  ];
  return ociDocument(mediaTypes.ociManifest, {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: {
      mediaType: artifactTypes[version],
      digest: sha256(sociConfigBytes),
      size: sociConfigBytes.length,
    },
    layers,
    ...(subject === undefined ? {} : { subject }),
    annotations: { [sociAnnotations.buildTool]: options.buildTool },
  });
}

export function ociDocument(mediaType: string, value: object): OciDocument {
  const bytes = Buffer.from(JSON.stringify(value));
  return { bytes, mediaType, digest: sha256(bytes), size: bytes.length };
}

/** In the order of their names, as Go writes a map. */
function ztocAnnotations(ztoc: ZtocReference): Readonly<Record<string, string>> {
  return {
    ...(ztoc.disablesXattrs ? { [sociAnnotations.disableXattrs]: "true" } : {}),
    [sociAnnotations.layerDigest]: ztoc.layerDigest,
    [sociAnnotations.layerMediaType]: ztoc.layerMediaType,
    ...(ztoc.spanSize === undefined ? {} : { [sociAnnotations.spanSize]: String(ztoc.spanSize) }),
  };
}
