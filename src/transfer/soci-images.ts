import { type Digest, sha256 } from "../bytes/index.js";
import { failedPrecondition } from "../errors/index.js";
import type { Platform } from "../oci/index.js";
import {
  artifactTypes,
  buildSociIndex,
  type EmbeddedImage,
  embedSociIndexes,
  type IndexVersion,
  type OciDocument,
  sociConfigBytes,
  type ZtocReference,
} from "../soci/index.js";
import { BUILD_TOOL } from "./build-ztoc.js";
import type { ImageTarget, Waiting } from "./contract.js";
import { pushBytes } from "./copy-blob.js";
import { changedIndex, type MadeDocument } from "./documents.js";

export interface IndexedManifest {
  readonly document: MadeDocument;
  readonly platform: Platform;
  /** In the order of the layers; the zTOCs are at the target. */
  readonly ztocs: readonly ZtocReference[];
}

/** Pushes the SOCI index of one image. A v1 index refers to the image, a v2 index has to be embedded. */
export async function pushSociIndex(
  manifest: IndexedManifest,
  options: Waiting & { readonly target: ImageTarget; readonly version: IndexVersion },
): Promise<OciDocument> {
  const { target, version, signal } = options;
  const { mediaType, digest, size } = manifest.document;
  const subject = version === 1 ? { mediaType, digest, size } : undefined;
  const index = buildSociIndex({ version, ztocs: manifest.ztocs, buildTool: BUILD_TOOL, subject });
  await pushBytes(target, { bytes: sociConfigBytes, digest: sha256(sociConfigBytes) }, { signal });
  await target.pushManifest({ ...index, signal });
  return index;
}

/** Pushes an image with a SOCI index for each manifest that has zTOCs. Its layers and configs are at the target. */
export async function pushEmbedded(
  image: { readonly root: MadeDocument; readonly manifests: readonly IndexedManifest[] },
  options: Waiting & { readonly target: ImageTarget },
): Promise<EmbeddedImage> {
  const { target, signal } = options;
  const { root, manifests } = image;
  const sociIndexes = new Map<Digest, OciDocument>();
  for (const manifest of manifests) {
    if (manifest.ztocs.length === 0) continue;
    sociIndexes.set(manifest.document.digest, await pushSociIndex(manifest, { target, signal, version: 2 }));
  }
  const embedded = embedSociIndexes({
    image: root.bytes,
    platform: manifests[0]?.platform,
    manifests: new Map(manifests.map(({ document }) => [document.digest, document.bytes])),
    sociIndexes,
  });
  for (const manifest of embedded.manifests.values()) await target.pushManifest({ ...manifest, signal });
  await target.pushManifest({ ...embedded.index, signal });
  return embedded;
}

/** The list of v1 indexes by which they lie in a layout: a name there stands for one document. */
export function sociIndexList(
  indexes: readonly { readonly index: OciDocument; readonly platform: Platform }[],
): MadeDocument {
  if (indexes.length === 0) {
    throw failedPrecondition("Cannot create an index: no layer of the image can have one that is worth it", {
      reason: "soci-empty",
      hint: "`--min-layer-size 0` takes in small layers; zstd layers are never indexed",
    });
  }
  const manifests = indexes.map(({ index, platform }) => {
    const { mediaType, digest, size } = index;
    return { mediaType, digest, size, platform, artifactType: artifactTypes[1] };
  });
  return changedIndex({ schemaVersion: 2 }, manifests);
}
