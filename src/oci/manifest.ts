import { type Descriptor, parseDescriptor } from "./descriptor.js";
import { asArray, type Fields, has, malformed, optionalText, own, parseDocument, textMap } from "./fields.js";
import { isIndexType, isManifestType, mediaTypes } from "./media-types.js";

export interface Manifest {
  readonly kind: "manifest";
  readonly mediaType: string;
  readonly config: Descriptor;
  /** Bottom first. */
  readonly layers: readonly Descriptor[];
  readonly annotations: Readonly<Record<string, string>>;
}

export interface Index {
  readonly kind: "index";
  readonly mediaType: string;
  readonly manifests: readonly Descriptor[];
  readonly annotations: Readonly<Record<string, string>>;
}

export interface DocumentOptions {
  /** Content-Type of the response that brought the bytes. */
  readonly contentType?: string | undefined;
}

/** What registries accept at most for a manifest (distribution-spec: at least 4 MiB). */
export const MANIFEST_BYTES_MAX = 4 * 1024 * 1024;
/** overlayfs takes at most 500 lower directories. */
export const LAYERS_MAX = 500;
const INDEX_ENTRIES_MAX = 10_000;

const knownKeys = ["schemaVersion", "mediaType", "config", "layers", "manifests", "fsLayers", "annotations"];

/**
 * Reads what a registry sent for a tag or digest. The caller has checked the digest of the bytes.
 *
 * @throws INVALID_ARGUMENT with reason `manifest-invalid` or one of parseJson(),
 * RESOURCE_EXHAUSTED above the budget
 */
export function parseManifestOrIndex(bytes: Uint8Array, options: DocumentOptions = {}): Manifest | Index {
  const fields = parseDocument(bytes, { what: "manifest", bytesMax: MANIFEST_BYTES_MAX, knownKeys });
  if (own(fields, "schemaVersion") !== 2) throw malformed("manifest", "want schemaVersion 2");
  const isIndex = has(fields, "manifests");
  const forbidden = isIndex ? ["config", "layers", "fsLayers"] : ["fsLayers"];
  for (const key of forbidden) {
    // A document that is a manifest to one reader and an index to another (CVE-2021-41190).
    if (has(fields, key))
      throw malformed("manifest", `it has ${isIndex ? "manifests" : "layers"} and ${key}`);
  }
  const mediaType = mediaTypeOf(fields, isIndex, options.contentType);
  const annotations = textMap(own(fields, "annotations"), "manifest", "annotations");
  if (isIndex) {
    const manifests = asArray({
      value: own(fields, "manifests"),
      what: "manifest",
      name: "manifests",
      max: INDEX_ENTRIES_MAX,
    }).map((value, index) => parseDescriptor(value, "manifest", `manifests[${index}]`));
    return { kind: "index", mediaType, manifests, annotations };
  }
  const layers = asArray({ value: own(fields, "layers"), what: "manifest", name: "layers", max: LAYERS_MAX });
  return {
    kind: "manifest",
    mediaType,
    config: parseDescriptor(own(fields, "config"), "manifest", "config"),
    layers: layers.map((value, index) => parseDescriptor(value, "manifest", `layers[${index}]`)),
    annotations,
  };
}

/** As parseManifestOrIndex(), and refuses an index. */
export function parseManifest(bytes: Uint8Array, options: DocumentOptions = {}): Manifest {
  const document = parseManifestOrIndex(bytes, options);
  if (document.kind !== "manifest") throw malformed("manifest", "it is an index");
  return document;
}

/** As parseManifestOrIndex(), and refuses a manifest. */
export function parseIndex(bytes: Uint8Array, options: DocumentOptions = {}): Index {
  const document = parseManifestOrIndex(bytes, options);
  if (document.kind !== "index") throw malformed("index", "it is a manifest");
  return document;
}

function mediaTypeOf(fields: Fields, isIndex: boolean, contentType: string | undefined): string {
  const fits = isIndex ? isIndexType : isManifestType;
  const stated = optionalText(fields, "mediaType", "manifest");
  if (stated !== undefined && !fits(stated)) {
    throw malformed("manifest", `its mediaType is not that of ${isIndex ? "an index" : "a manifest"}`);
  }
  const sent = contentType?.split(";", 1)[0]?.trim().toLowerCase() ?? "";
  // Registries and proxies also send application/json and the like: that says nothing.
  if (isManifestType(sent) || isIndexType(sent)) {
    if (stated === undefined ? !fits(sent) : sent !== stated) {
      throw malformed("manifest", `its mediaType differs from the Content-Type "${sent}"`);
    }
    return sent;
  }
  return stated ?? (isIndex ? mediaTypes.ociIndex : mediaTypes.ociManifest);
}
