import { assert, invalidArgument } from "../errors/index.js";
import type { Registry } from "../registry/index.js";
import { archiveSource, archiveTarget } from "./archive-image.js";
import type { ImageSource, ImageTarget } from "./contract.js";
import { dockerArchiveSource } from "./docker-archive.js";
import type { ImageLocation } from "./image-location.js";
import { layoutSource, layoutTarget } from "./layout-image.js";
import { registrySource, registryTarget } from "./registry-image.js";

interface OpenOptions {
  /** Stays open. Only locations in registries need one. */
  readonly registry: Registry | undefined;
}

/** @throws NOT_FOUND, INVALID_ARGUMENT */
export async function openImageSource(
  location: ImageLocation,
  { registry }: OpenOptions,
): Promise<ImageSource> {
  if (location.kind === "registry") return registrySource(wanted(registry), location.reference);
  const { path, name } = location;
  if (location.kind === "docker-archive") return await dockerArchiveSource(path, name);
  return location.kind === "layout" ? await layoutSource(path, name) : await archiveSource(path, name);
}

/** @throws INVALID_ARGUMENT */
export async function openImageTarget(
  location: ImageLocation,
  { registry }: OpenOptions,
): Promise<ImageTarget> {
  if (location.kind === "registry") return await registryTarget(wanted(registry), location.reference);
  const { path, name } = location;
  if (location.kind === "docker-archive") {
    throw invalidArgument(`Cannot write ${path}: an archive of Docker's holds no layers as they are pushed`, {
      subject: path,
      reason: "location-read-only",
      hint: "Write oci-archive:<file>[:<name>], which `docker load` takes as well",
    });
  }
  return location.kind === "layout" ? await layoutTarget(path, name) : await archiveTarget(path, name);
}

function wanted(registry: Registry | undefined): Registry {
  assert(registry !== undefined, "a location in a registry comes with one");
  return registry;
}
