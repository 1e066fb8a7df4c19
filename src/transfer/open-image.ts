import type { Registry } from "../registry/index.js";
import { archiveSource, archiveTarget } from "./archive-image.js";
import type { ImageSource, ImageTarget } from "./contract.js";
import type { ImageLocation } from "./image-location.js";
import { layoutSource, layoutTarget } from "./layout-image.js";
import { registrySource, registryTarget } from "./registry-image.js";

interface OpenOptions {
  /** Stays open. */
  readonly registry: Registry;
}

/** @throws NOT_FOUND, INVALID_ARGUMENT */
export async function openImageSource(
  location: ImageLocation,
  { registry }: OpenOptions,
): Promise<ImageSource> {
  if (location.kind === "registry") return registrySource(registry, location.reference);
  const { path, name } = location;
  return location.kind === "layout" ? await layoutSource(path, name) : await archiveSource(path, name);
}

/** @throws INVALID_ARGUMENT */
export async function openImageTarget(
  location: ImageLocation,
  { registry }: OpenOptions,
): Promise<ImageTarget> {
  if (location.kind === "registry") return await registryTarget(registry, location.reference);
  const { path, name } = location;
  return location.kind === "layout" ? await layoutTarget(path, name) : await archiveTarget(path, name);
}
