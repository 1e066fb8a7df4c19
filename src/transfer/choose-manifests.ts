import { type Digest, parseDigest } from "../bytes/index.js";
import { type Descriptor, type Index, type Platform, selectPlatform } from "../oci/index.js";
import { artifactTypes } from "../soci/index.js";

/** BuildKit's: which image of the index an attestation is about. */
export const ATTESTED_ANNOTATION = "vnd.docker.reference.digest";

/** Which manifests of an index are wanted; an image of one manifest is taken whatever it is for. */
export type WantedPlatforms = readonly Platform[] | "all";

export function attestedBy(descriptor: Descriptor): Digest | undefined {
  const text = descriptor.annotations[ATTESTED_ANNOTATION];
  return text === undefined ? undefined : parseDigest(text);
}

/**
 * Places in an index of the platforms, of what is about them, and of what is for no platform. A SOCI index that is there
 * is of layers that are others now, or has another one in its place. @throws NOT_FOUND `platform-missing`
 */
export function chooseManifests(index: Index, platforms: WantedPlatforms): ReadonlySet<number> {
  const selected =
    platforms === "all" ? undefined : new Set(platforms.map((one) => selectPlatform(index, one).digest));
  const isChosen = (descriptor: Descriptor): boolean => {
    if (descriptor.artifactType === artifactTypes[2]) return false;
    if (selected === undefined || selected.has(descriptor.digest)) return true;
    const attested = attestedBy(descriptor);
    if (attested !== undefined) return selected.has(attested);
    return descriptor.platform === undefined || descriptor.artifactType !== undefined;
  };
  return new Set(index.manifests.flatMap((descriptor, at) => (isChosen(descriptor) ? [at] : [])));
}
