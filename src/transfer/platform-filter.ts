import { notFound } from "../errors/index.js";
import { type Descriptor, isIndexType, isManifestType, type Platform, platformKey } from "../oci/index.js";
import { isConfig } from "./stored-image.js";
import type { ImageStoreWish } from "./transfer-contract.js";

type Filter = Pick<ImageStoreWish, "platforms" | "allMetadata" | "manifestLimit">;

/** The children of a descriptor that are taken along. @throws NOT_FOUND when a limit finds none */
export function chosenChildren(
  filter: Filter,
  parent: Descriptor,
  children: readonly Descriptor[],
): readonly Descriptor[] {
  const taken = filter.allMetadata
    ? withoutForeignLayers(filter.platforms, parent, children)
    : children.filter((child) => matches(filter.platforms, child));
  return isIndexType(parent.mediaType) ? limited(filter, taken) : taken;
}

/** No platforms match all, and what has no platform matches any. */
export function matches(platforms: readonly Platform[], { platform }: Descriptor): boolean {
  if (platforms.length === 0 || platform === undefined) return true;
  const key = platformKey(platform);
  return platforms.some((one) => platformKey(one) === key);
}

/** Of a manifest for another platform only its config. */
function withoutForeignLayers(
  platforms: readonly Platform[],
  parent: Descriptor,
  children: readonly Descriptor[],
): readonly Descriptor[] {
  if (!isManifestType(parent.mediaType) || matches(platforms, parent)) return children;
  return children.filter(isConfig);
}

function limited(
  { platforms, manifestLimit }: Filter,
  children: readonly Descriptor[],
): readonly Descriptor[] {
  const sorted = sortedByPlatform(platforms, children);
  if (manifestLimit === 0) return sorted;
  if (sorted.length === 0) {
    throw notFound("no match for platform in manifest", { reason: "platform-missing" });
  }
  return sorted.slice(0, manifestLimit);
}

/** In the order of the platforms; what has none comes last. */
export function sortedByPlatform(
  platforms: readonly Platform[],
  children: readonly Descriptor[],
): readonly Descriptor[] {
  const keys = platforms.map(platformKey);
  const rank = ({ platform }: Descriptor): number => {
    if (platform === undefined) return keys.length + 1;
    const at = keys.indexOf(platformKey(platform));
    return at < 0 ? keys.length : at;
  };
  return [...children].sort((left, right) => rank(left) - rank(right));
}
