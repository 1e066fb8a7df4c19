/**
 * Images as the OCI and Docker specifications write them: references, manifests, indexes, configs.
 *
 *     const reference = parseReference("python:3.12");
 *     const document = parseManifestOrIndex(bytes, { contentType });
 *     const layers = imageLayers(manifest, parseImageConfig(configBytes));
 */
export type { Descriptor, Platform } from "./descriptor.js";
export {
  CONFIG_BYTES_MAX,
  chainId,
  chainIds,
  type ImageConfig,
  type ImageLayer,
  imageLayers,
  parseImageConfig,
} from "./image-config.js";
export {
  type DocumentOptions,
  type Index,
  LAYERS_MAX,
  MANIFEST_BYTES_MAX,
  type Manifest,
  parseIndex,
  parseManifest,
  parseManifestOrIndex,
} from "./manifest.js";
export {
  type Compression,
  isIndexType,
  isManifestType,
  type LayerType,
  layerType,
  mediaTypes,
} from "./media-types.js";
export { platformKey, runsPlatform, selectPlatform } from "./platform.js";
export { makeReference, parseReference, type Reference } from "./reference.js";
