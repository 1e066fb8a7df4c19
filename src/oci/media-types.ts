/** Media types of the OCI image specification (media-types.md) and of Docker's image manifest v2 schema 2. */
export const mediaTypes = {
  ociManifest: "application/vnd.oci.image.manifest.v1+json",
  ociIndex: "application/vnd.oci.image.index.v1+json",
  ociConfig: "application/vnd.oci.image.config.v1+json",
  ociLayer: "application/vnd.oci.image.layer.v1.tar",
  ociLayerGzip: "application/vnd.oci.image.layer.v1.tar+gzip",
  ociLayerZstd: "application/vnd.oci.image.layer.v1.tar+zstd",
  dockerManifest: "application/vnd.docker.distribution.manifest.v2+json",
  dockerIndex: "application/vnd.docker.distribution.manifest.list.v2+json",
  dockerConfig: "application/vnd.docker.container.image.v1+json",
  dockerLayer: "application/vnd.docker.image.rootfs.diff.tar",
  dockerLayerGzip: "application/vnd.docker.image.rootfs.diff.tar.gzip",
  dockerLayerZstd: "application/vnd.docker.image.rootfs.diff.tar.zstd",
} as const;

export type Compression = "gzip" | "zstd" | "none";

/** What the media type of a layer tells. */
export interface LayerType {
  readonly compression: Compression;
  /** False for layers that must not be pushed (`nondistributable`, `foreign`). */
  readonly distributable: boolean;
  /** OCIcrypt: the bytes are no tar before they are decrypted. */
  readonly encrypted: boolean;
}

const layerBases: Readonly<Record<string, boolean>> = {
  "application/vnd.oci.image.layer.v1.tar": true,
  "application/vnd.oci.image.layer.nondistributable.v1.tar": false,
  "application/vnd.docker.image.rootfs.diff.tar": true,
  "application/vnd.docker.image.rootfs.foreign.diff.tar": false,
};

const layerShape = /^([a-z/.0-9]+?\.tar)(?:[+.](gzip|zstd))?(\+encrypted)?$/;

/** Undefined for what is no layer, e.g. a config or an attestation. */
export function layerType(mediaType: string): LayerType | undefined {
  if (mediaType.length > 128) return undefined;
  const found = layerShape.exec(mediaType);
  const base = found?.[1] ?? "";
  if (!Object.hasOwn(layerBases, base)) return undefined;
  return {
    compression: (found?.[2] as Compression | undefined) ?? "none",
    distributable: layerBases[base] === true,
    encrypted: found?.[3] !== undefined,
  };
}

export function isManifestType(mediaType: string): boolean {
  return mediaType === mediaTypes.ociManifest || mediaType === mediaTypes.dockerManifest;
}

export function isIndexType(mediaType: string): boolean {
  return mediaType === mediaTypes.ociIndex || mediaType === mediaTypes.dockerIndex;
}
