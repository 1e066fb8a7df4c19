/**
 * What moves and remakes images: places where they are read and written, and the conversion of their layers.
 *
 *     await using source = await openImageSource(parseImageLocation("docker.io/library/python:3.12"), { registry });
 *     await using target = await openImageTarget(parseImageLocation("oci:/srv/python:3.12"), { registry });
 *     const layers = layerOptions({ format: "estargz" });
 *     const { digest } = await convertImage({ source, target, layers, platforms: "all", scratchFolder: "/var/tmp" });
 */
export { archiveSource, archiveTarget } from "./archive-image.js";
export type {
  ImageDocument,
  ImageSource,
  ImageTarget,
  NameOptions,
  RepositoryPlace,
  Waiting,
} from "./contract.js";
export type {
  ConvertEvent,
  ConvertReport,
  LayerAction,
  LayerReport,
  ManifestReport,
} from "./convert-event.js";
export { type ConvertImageOptions, convertImage } from "./convert-image.js";
export { type CredentialVault, type KeptCredential, openCredentialVault } from "./credential-vault.js";
export { entryPath } from "./entry-path.js";
export { type FineImageOptions, indexImageFine } from "./fine-index-image.js";
export { type ImageLocation, parseImageLocation } from "./image-location.js";
export { type IndexImageOptions, type IndexReport, indexImage } from "./index-image.js";
export { type LayerOptions, layerOptions, type TargetFormat, targetFormats } from "./layer-options.js";
export { layoutSource, layoutTarget } from "./layout-image.js";
export { openImageSource, openImageTarget } from "./open-image.js";
export { openTransferRegistry, type RegistryFacts } from "./open-transfer-registry.js";
export { type PushedIndex, type PushIndexOptions, pushIndexes } from "./push-index.js";
export { registrySource, registryTarget } from "./registry-image.js";
export { repositoryOf, SharedCredentials, type SharedCredentialsOptions } from "./shared-credentials.js";
export { streamCredentials } from "./stream-credentials.js";
export type {
  ExportWish,
  ExtraReference,
  ImageStoreWish,
  LazyMode,
  RegistryAccess,
  TransferCall,
  TransferEvent,
  TransferParts,
  TransferRegistry,
  UnpackTarget,
  UnpackWish,
} from "./transfer-contract.js";
export { createTransferrer, type Transferrer } from "./transferrer.js";
export type { LayerApplier } from "./unpack-layer.js";
export {
  type FolderVerifierOptions,
  folderVerifier,
  type ImageVerifier,
  type Judgement,
} from "./verify-image.js";
