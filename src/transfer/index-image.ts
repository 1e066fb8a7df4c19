import { linkSignals } from "../async/index.js";
import type { Digest } from "../bytes/index.js";
import { invalidArgument } from "../errors/index.js";
import {
  CONFIG_BYTES_MAX,
  type Descriptor,
  imageLayers,
  isManifestType,
  type Manifest,
  mediaTypes,
  parseImageConfig,
  parseManifest,
  parseManifestOrIndex,
} from "../oci/index.js";
import type { OciDocument } from "../soci/index.js";
import { attestedBy, chooseManifests, type WantedPlatforms } from "./choose-manifests.js";
import type { ImageDocument, ImageSource, ImageTarget, Waiting } from "./contract.js";
import type { ConvertEvent, ManifestReport } from "./convert-event.js";
import { type ConvertLayersOptions, LayerConverter } from "./convert-layers.js";
import { ConvertRecord } from "./convert-record.js";
import { readBlob } from "./copy-blob.js";
import { descriptorOf, listAt, parseFields, platformText } from "./documents.js";
import { layerOptions } from "./layer-options.js";
import { PackPool } from "./pack-pool.js";
import { type IndexedManifest, pushSociIndex, sociIndexList } from "./soci-images.js";

export interface IndexImageOptions extends Waiting {
  readonly source: ImageSource;
  readonly target: ImageTarget;
  readonly platforms: WantedPlatforms;
  readonly spanSizeBytes?: number | undefined;
  readonly layerSizeMinBytes?: number | undefined;
  readonly scratchFolder: string;
  readonly recordFolder?: string | undefined;
  readonly onEvent?: ((event: ConvertEvent) => void) | undefined;
}

export interface IndexReport {
  /** The list of the indexes, which the target's name stands for. */
  readonly digest: Digest;
  /** `target` is the index here. */
  readonly manifests: readonly ManifestReport[];
}

/**
 * Makes the SOCI index (v1) of an image for each of its platforms and puts them, without the image, into a place.
 * @throws as convertImage(); FAILED_PRECONDITION `soci-empty`
 */
export async function indexImage(options: IndexImageOptions): Promise<IndexReport> {
  using all = linkSignals([options.signal]);
  // No thread starts where nothing is compressed.
  await using pool = new PackPool({ workers: 1 });
  const { target, recordFolder, onEvent = () => undefined } = options;
  const { signal } = all;
  const { spanSizeBytes, layerSizeMinBytes } = options;
  const converter = new LayerConverter({
    ...options,
    signal,
    options: layerOptions({ format: "soci", spanSizeBytes, layerSizeMinBytes }),
    record: recordFolder === undefined ? undefined : new ConvertRecord(recordFolder),
    copiesLayers: false,
    pool,
    onEvent,
  } satisfies ConvertLayersOptions);
  const manifests: ManifestReport[] = [];
  const indexes: { index: OciDocument; platform: IndexedManifest["platform"] }[] = [];
  try {
    for (const document of await imageManifests({ ...options, signal })) {
      const { manifest, report } = await indexManifest(document, { ...options, signal, converter });
      if (manifest.ztocs.length === 0) continue;
      const index = await pushSociIndex(manifest, { target, signal, version: 1 });
      indexes.push({ index, platform: manifest.platform });
      manifests.push({ ...report, target: index.digest });
    }
    const list = sociIndexList(indexes);
    await target.pushManifest({ ...list, signal });
    await target.name(descriptorOf(list), { signal });
    onEvent({ kind: "named", digest: list.digest });
    return { digest: list.digest, manifests };
  } catch (thrown) {
    all.abort(thrown);
    throw thrown;
  }
}

export interface ImageManifest {
  readonly document: ImageDocument;
  readonly manifest: Manifest;
}

/** The manifests of images, without attestations and artifacts. */
export async function imageManifests(
  options: Waiting & Pick<IndexImageOptions, "source" | "platforms">,
): Promise<ImageManifest[]> {
  const { source, signal } = options;
  const root = await source.root({ signal });
  const parsed = parseManifestOrIndex(root.bytes, { contentType: root.mediaType });
  if (parsed.kind === "manifest") return [{ document: root, manifest: parsed }];
  const chosen = chooseManifests(parsed, options.platforms);
  const found: ImageManifest[] = [];
  const isImage = (descriptor: Descriptor): boolean =>
    isManifestType(descriptor.mediaType) &&
    attestedBy(descriptor) === undefined &&
    descriptor.artifactType === undefined;
  for (const [at, descriptor] of parsed.manifests.entries()) {
    if (!chosen.has(at) || !isImage(descriptor)) continue;
    const { mediaType } = descriptor;
    const document = { ...(await source.document(descriptor, { signal })), mediaType };
    found.push({ document, manifest: parseManifest(document.bytes, { contentType: mediaType }) });
  }
  return found.filter(({ manifest }) => isImageConfig(manifest.config));
}

function isImageConfig({ mediaType }: Descriptor): boolean {
  return mediaType === mediaTypes.ociConfig || mediaType === mediaTypes.dockerConfig;
}

async function indexManifest(
  { document, manifest }: ImageManifest,
  options: Waiting & { readonly source: ImageSource; readonly converter: LayerConverter },
): Promise<{ readonly manifest: IndexedManifest; readonly report: ManifestReport }> {
  const { source, converter, signal } = options;
  if (!isImageConfig(manifest.config)) {
    throw invalidArgument(`Cannot index ${document.digest}: it is no image`, {
      subject: document.digest,
      reason: "image-wanted",
    });
  }
  const config = parseImageConfig(
    await readBlob(source, manifest.config, { signal, bytesMax: CONFIG_BYTES_MAX }),
  );
  const listed = listAt(parseFields(document.bytes), "layers");
  const tasks = imageLayers(manifest, config).map(({ descriptor: layer, diffId }, at) =>
    converter.convert({ layer, descriptor: listed[at]!, diffId }),
  );
  const settled = await Promise.allSettled(tasks);
  const failed = settled.find((one) => one.status === "rejected");
  if (failed !== undefined) throw failed.reason;
  const outcomes = await Promise.all(tasks);
  const { bytes, digest } = document;
  return {
    manifest: {
      document: { bytes, digest, mediaType: manifest.mediaType, size: bytes.length },
      platform: config.platform,
      ztocs: outcomes.flatMap(({ ztoc }) => (ztoc === undefined ? [] : [ztoc])),
    },
    report: {
      platform: platformText(config.platform),
      source: digest,
      target: digest,
      layers: outcomes.map(({ report }) => report),
    },
  };
}
