/**
 * What moves and remakes images: places where they are read and written.
 *
 *     const source = await openImageSource(parseImageLocation("docker.io/library/python:3.12"), { registry });
 */
export type { ImageDocument, ImageSource, ImageTarget, Waiting } from "./contract.js";
export { type ImageLocation, parseImageLocation } from "./image-location.js";
export { layoutSource, layoutTarget } from "./layout-image.js";
export { registrySource, registryTarget } from "./registry-image.js";
