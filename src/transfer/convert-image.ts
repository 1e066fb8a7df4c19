import { availableParallelism } from "node:os";
import { linkSignals } from "../async/index.js";
import { type Digest, sha256 } from "../bytes/index.js";
import { invalidArgument } from "../errors/index.js";
import {
  CONFIG_BYTES_MAX,
  type Descriptor,
  type ImageConfig,
  type Index,
  imageLayers,
  isIndexType,
  isManifestType,
  type Manifest,
  mediaTypes,
  parseImageConfig,
  parseManifestOrIndex,
} from "../oci/index.js";
import {
  ATTESTED_ANNOTATION,
  attestedBy,
  chooseManifests,
  type WantedPlatforms,
} from "./choose-manifests.js";
import type { ImageDocument, ImageSource, ImageTarget, Waiting } from "./contract.js";
import type { ConvertEvent, ConvertReport, ManifestReport } from "./convert-event.js";
import { LayerConverter } from "./convert-layers.js";
import { ConvertRecord } from "./convert-record.js";
import { copyBlob, pushBytes, readBlob } from "./copy-blob.js";
import {
  changedConfig,
  changedIndex,
  changedManifest,
  descriptorOf,
  type Fields,
  listAt,
  type MadeDocument,
  parseFields,
  platformText,
  tocImage,
  tocImageConfig,
} from "./documents.js";
import type { LayerOptions } from "./layer-options.js";
import type { LayerOutcome } from "./layer-outcome.js";
import { PackPool } from "./pack-pool.js";
import { type IndexedManifest, pushEmbedded } from "./soci-images.js";

export interface ConvertImageOptions extends Waiting {
  readonly source: ImageSource;
  readonly target: ImageTarget;
  readonly layers: LayerOptions;
  readonly platforms: WantedPlatforms;
  /** Where files without a name may lie: as large as the largest three layers. */
  readonly scratchFolder: string;
  /** Where it is noted what became of layers, so that they need not be made again. */
  readonly recordFolder?: string | undefined;
  /** Threads that compress; as many as there are processors unless given. */
  readonly workers?: number | undefined;
  readonly onEvent?: ((event: ConvertEvent) => void) | undefined;
}

/** Indexes in indexes; nobody builds deeper ones. */
const INDEX_DEPTH_MAX = 4;
const configTypes: readonly string[] = [mediaTypes.ociConfig, mediaTypes.dockerConfig];

/**
 * Writes an image with its layers in another format to a place, and gives it its name there last. What is no image
 * (attestations, artifacts) is copied; referrers are not. The first failure ends everything.
 * @throws as the places and convertLayer(); INVALID_ARGUMENT for what is no image; NOT_FOUND `platform-missing`
 */
export async function convertImage(options: ConvertImageOptions): Promise<ConvertReport> {
  using all = linkSignals([options.signal]);
  await using pool = new PackPool({ workers: options.workers ?? availableParallelism() });
  const conversion = new ImageConversion({ ...options, signal: all.signal, pool });
  try {
    return await conversion.run();
  } catch (thrown) {
    all.abort(thrown);
    await conversion.settle();
    throw thrown;
  }
}

class ImageConversion {
  readonly #options: ConvertImageOptions & { readonly pool: PackPool };
  readonly #layers: LayerConverter;
  readonly #onEvent: (event: ConvertEvent) => void;
  readonly #reports: ManifestReport[] = [];
  readonly #tocs = new Map<Digest, { readonly digest: Digest; readonly size: number }>();
  readonly #indexed: IndexedManifest[] = [];
  readonly #running = new Set<Promise<unknown>>();

  constructor(options: ConvertImageOptions & { readonly pool: PackPool }) {
    this.#options = options;
    this.#onEvent = options.onEvent ?? (() => undefined);
    const { recordFolder, layers } = options;
    this.#layers = new LayerConverter({
      ...options,
      options: layers,
      record: recordFolder === undefined ? undefined : new ConvertRecord(recordFolder),
      onEvent: this.#onEvent,
      copiesLayers: true,
    });
  }

  async run(): Promise<ConvertReport> {
    const { source, target, signal } = this.#options;
    const read = await this.#document(await source.root({ signal }), 0);
    const root = this.#isSoci ? await this.#embed(read) : read;
    let toc: MadeDocument | undefined;
    if (this.#tocs.size > 0) {
      toc = tocImage(this.#tocs);
      await pushBytes(target, { bytes: tocImageConfig, digest: sha256(tocImageConfig) }, { signal });
      await target.pushManifest({ ...toc, signal });
      await target.name(descriptorOf(toc), { signal, suffix: "-esgztoc" });
    }
    await target.name(descriptorOf(root), { signal });
    this.#onEvent({ kind: "named", digest: root.digest });
    const { digest, mediaType } = root;
    return { digest, mediaType, manifests: this.#reports, tocImage: toc?.digest };
  }

  async #embed(read: MadeDocument): Promise<MadeDocument> {
    const { target, signal } = this.#options;
    const image = { root: read, manifests: this.#indexed };
    const { index, manifests } = await pushEmbedded(image, { target, signal });
    for (const [at, report] of this.#reports.entries()) {
      this.#reports[at] = { ...report, target: manifests.get(report.source)?.digest ?? report.target };
    }
    return index;
  }

  get #isSoci(): boolean {
    return this.#options.layers.format === "soci";
  }

  /** Waits until nothing writes any more, whether it ends well or not. */
  async settle(): Promise<void> {
    await Promise.allSettled(this.#running);
  }

  async #document(document: ImageDocument, depth: number): Promise<MadeDocument> {
    const { bytes, mediaType } = document;
    const parsed = parseManifestOrIndex(bytes, { contentType: mediaType });
    return parsed.kind === "index"
      ? await this.#index(document, parsed, depth)
      : await this.#manifest(document, parsed);
  }

  async #index(document: ImageDocument, index: Index, depth: number): Promise<MadeDocument> {
    if (depth >= INDEX_DEPTH_MAX) {
      throw invalidArgument("Cannot convert image: its indexes are nested too deep", {
        subject: document.digest,
        reason: "index-too-deep",
      });
    }
    const chosen = chooseManifests(index, this.#options.platforms);
    const fields = parseFields(document.bytes);
    const listed = listAt(fields, "manifests");
    const renamed = new Map<string, MadeDocument>();
    for (const [at, descriptor] of index.manifests.entries()) {
      if (!chosen.has(at)) continue;
      const made = await this.#entry(descriptor, listed[at]!, depth);
      renamed.set(descriptor.digest, made);
    }
    const entries = listed.flatMap((entry, at) => {
      const made = chosen.has(at) ? renamed.get(index.manifests[at]!.digest) : undefined;
      return made === undefined ? [] : [changedEntry(entry, made, renamed)];
    });
    const isSame =
      JSON.stringify(entries) === JSON.stringify(listed) && index.mediaType === mediaTypes.ociIndex;
    const made = isSame ? unchanged(document, index.mediaType) : changedIndex(fields, entries);
    // With SOCI indexes in it, the outermost has other bytes.
    if (!this.#isSoci) await this.#push(made);
    return made;
  }

  async #entry(descriptor: Descriptor, entry: Fields, depth: number): Promise<MadeDocument> {
    const { source, signal } = this.#options;
    if (!isManifestType(descriptor.mediaType) && !isIndexType(descriptor.mediaType)) {
      await copyBlob(this.#options, descriptor);
      const { mediaType, digest, size } = descriptor;
      return { bytes: Buffer.alloc(0), mediaType, digest, size };
    }
    const found = await source.document(descriptor, { signal });
    const document = { ...found, mediaType: descriptor.mediaType };
    const parsed = parseManifestOrIndex(document.bytes, { contentType: document.mediaType });
    const isArtifact = attestedBy(descriptor) !== undefined || entry.artifactType !== undefined;
    if (parsed.kind === "manifest" && isArtifact) return await this.#copy(document, parsed);
    return await this.#document(document, depth + 1);
  }

  async #manifest(document: ImageDocument, manifest: Manifest): Promise<MadeDocument> {
    if (!configTypes.includes(manifest.config.mediaType)) return await this.#copy(document, manifest);
    const { source, target, signal } = this.#options;
    const config = await readBlob(source, manifest.config, { signal, bytesMax: CONFIG_BYTES_MAX });
    const parsed = parseImageConfig(config);
    const outcomes = await this.#convertLayers(document, manifest, parsed);
    const newConfig = changedConfig(
      config,
      outcomes.map(({ diffId }) => diffId),
    );
    await pushBytes(target, { bytes: newConfig, digest: sha256(newConfig) }, { signal });
    const fields = parseFields(document.bytes);
    const layers = outcomes.map(({ descriptor }) => descriptor);
    const isSame =
      newConfig === config &&
      manifest.mediaType === mediaTypes.ociManifest &&
      JSON.stringify(layers) === JSON.stringify(listAt(fields, "layers"));
    const made =
      isSame || this.#isSoci
        ? unchanged(document, manifest.mediaType)
        : changedManifest(fields, { layers, config: newConfig });
    if (this.#isSoci) {
      const ztocs = outcomes.flatMap(({ ztoc }) => (ztoc === undefined ? [] : [ztoc]));
      this.#indexed.push({ document: made, platform: parsed.platform, ztocs });
    } else await this.#push(made);
    for (const { toc, report } of outcomes) if (toc !== undefined) this.#tocs.set(report.target, toc);
    this.#reports.push({
      platform: platformText(parsed.platform),
      source: document.digest,
      target: made.digest,
      layers: outcomes.map(({ report }) => report),
    });
    return made;
  }

  async #convertLayers(
    document: ImageDocument,
    manifest: Manifest,
    config: ImageConfig,
  ): Promise<LayerOutcome[]> {
    const listed = listAt(parseFields(document.bytes), "layers");
    const tasks = imageLayers(manifest, config).map(({ descriptor: layer, diffId }, index) => {
      const outcome = this.#layers.convert({ layer, descriptor: listed[index]!, diffId });
      this.#running.add(outcome);
      return outcome;
    });
    return await Promise.all(tasks);
  }

  /** Something that is no image: its blobs and itself, as they are. */
  async #copy(document: ImageDocument, manifest: Manifest): Promise<MadeDocument> {
    for (const blob of [manifest.config, ...manifest.layers]) await copyBlob(this.#options, blob);
    const { bytes, digest } = document;
    const made = { bytes, digest, mediaType: manifest.mediaType, size: bytes.length };
    await this.#push(made);
    return made;
  }

  async #push({ bytes, digest, mediaType }: MadeDocument): Promise<void> {
    const { target, signal } = this.#options;
    await target.pushManifest({ bytes, digest, mediaType, signal });
  }
}

function unchanged({ bytes, digest }: ImageDocument, mediaType: string): MadeDocument {
  return { bytes, digest, mediaType, size: bytes.length };
}

/** What the index says of a manifest that may have another digest now, as may the image that it is about. */
function changedEntry(entry: Fields, made: MadeDocument, renamed: ReadonlyMap<string, MadeDocument>): Fields {
  const { mediaType, digest, size } = made;
  const { data: _, ...rest } = entry;
  const isSame = digest === entry.digest && mediaType === entry.mediaType;
  const changed = isSame ? entry : { ...rest, mediaType, digest, size };
  const annotations = entry.annotations as Readonly<Record<string, string>> | undefined;
  const attested = renamed.get(annotations?.[ATTESTED_ANNOTATION] ?? "");
  if (attested === undefined) return changed;
  return { ...changed, annotations: { ...annotations, [ATTESTED_ANNOTATION]: attested.digest } };
}
