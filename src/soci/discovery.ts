import { type Digest, digestFileName, parseDigest } from "../bytes/index.js";
import { parseIndex } from "../oci/index.js";
import { arrayAt, asFields, parseFields, textAt } from "./json-fields.js";
import { artifactTypes, sociAnnotations, sociLabels } from "./names.js";

export interface DiscoveryOptions {
  /** Of the snapshot that is prepared. */
  readonly labels: Readonly<Record<string, string>>;
  /** The image's manifest for the platform, and what it says. */
  readonly manifestDigest: Digest;
  readonly manifestAnnotations: Readonly<Record<string, string>>;
  /** Whether the annotation of a manifest counts: SOCI's `pull_modes.soci_v2`, on by default. */
  readonly takesAnnotation: boolean;
  /** Whether referrers count, which anyone who may push can add: SOCI's `pull_modes.soci_v1`, off by default. */
  readonly takesReferrers: boolean;
}

/** Where a SOCI index is to be had. */
export type IndexLookup =
  /** Fetch the manifest with this digest. Nothing else is tried: the operator or the image named it. */
  | { readonly kind: "digest"; readonly digest: Digest; readonly from: "label" | "annotation" }
  /**
   * Ask for `/v2/<name>/referrers/<manifest>?artifactType=<artifactType>`; where the registry does not know that (404),
   * fetch the index with the tag. selectReferrer() reads either answer, and the index must have the manifest as its
   * subject.
   */
  | {
      readonly kind: "referrers";
      readonly manifest: Digest;
      readonly artifactType: string;
      readonly fallbackTag: string;
    }
  | { readonly kind: "none" };

/**
 * Where to look for the SOCI index of an image, in SOCI's order: the label, which counts even with both switches off,
 * then the manifest's annotation, then referrers. @throws INVALID_ARGUMENT `digest-invalid`
 */
export function sociDiscovery(options: DiscoveryOptions): IndexLookup {
  const { labels, manifestAnnotations, manifestDigest } = options;
  const label = textOf(labels, sociLabels.indexDigest);
  if (label !== undefined) return { kind: "digest", digest: parseDigest(label), from: "label" };
  const annotation = textOf(manifestAnnotations, sociAnnotations.indexDigest);
  if (options.takesAnnotation && annotation !== undefined) {
    return { kind: "digest", digest: parseDigest(annotation), from: "annotation" };
  }
  if (!options.takesReferrers) return { kind: "none" };
  return {
    kind: "referrers",
    manifest: manifestDigest,
    artifactType: artifactTypes[1],
    fallbackTag: digestFileName(manifestDigest),
  };
}

/** The first v1 index in a list of referrers, as SOCI picks it. Registries need not have filtered the list. */
export function selectReferrer(list: Uint8Array): { digest: Digest; size: number } | undefined {
  const { manifests } = parseIndex(list);
  const types = arrayAt(parseFields(list), "manifests").map((value) =>
    textAt(asFields(value), "artifactType"),
  );
  const found = manifests[types.indexOf(artifactTypes[1])];
  return found === undefined ? undefined : { digest: found.digest, size: found.size };
}

function textOf(map: Readonly<Record<string, string>>, key: string): string | undefined {
  const text = Object.hasOwn(map, key) ? map[key] : undefined;
  return text === "" ? undefined : text;
}
