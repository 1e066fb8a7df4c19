import pLimit from "p-limit";
import { linkSignals } from "../async/index.js";
import { type Digest, sha256 } from "../bytes/index.js";
import { failedPrecondition, LazuliError } from "../errors/index.js";
import { buildFineManifest, FINE_ARTIFACT_TYPE, type FineReference, fineConfigBytes } from "../fine/index.js";
import { loadBinding } from "../fuse/index.js";
import { CONFIG_BYTES_MAX, type Descriptor, imageLayers, layerType, parseImageConfig } from "../oci/index.js";
import { buildFine } from "./build-fine.js";
import type { ManifestReport } from "./convert-event.js";
import { pushBytes, readBlob } from "./copy-blob.js";
import { changedIndex, descriptorOf, type Fields, platformText } from "./documents.js";
import {
  type ImageManifest,
  type IndexImageOptions,
  type IndexReport,
  imageManifests,
} from "./index-image.js";
import { type LayerOutcome, outcomeOf } from "./layer-outcome.js";
import { LayerProgress } from "./layer-progress.js";

/** Layers that are read at once. More wait. */
const LAYERS_AT_ONCE = 3;
/** As `soci create` has it: smaller layers are pulled whole as fast. */
const LAYER_BYTES_MIN = 10 * 1024 * 1024;

/** A layer without an index of ours for these reasons has none; the others have. */
const leftReasons: readonly string[] = [
  "layer-empty",
  "fine-frame-too-long",
  "fine-digest",
  "fine-span-too-large",
  "fine-tree-too-large",
  "tar-headers-missing",
  "tar-sparse",
  "tar-entry-type",
];

export type FineImageOptions = Omit<IndexImageOptions, "spanSizeBytes" | "recordFolder" | "scratchFolder">;

/**
 * Makes our own index of an image for each of its platforms and puts them, without the image, into a place.
 * @throws as buildFine() and the places; FAILED_PRECONDITION `fine-empty`
 */
export async function indexImageFine(options: FineImageOptions): Promise<IndexReport> {
  using all = linkSignals([options.signal]);
  const { target, onEvent = () => undefined } = options;
  const { signal } = all;
  const layers = new FineLayers({ ...options, onEvent, signal });
  const manifests: ManifestReport[] = [];
  const listed: Fields[] = [];
  try {
    for (const image of await imageManifests({ ...options, signal })) {
      const { references, report, platform } = await indexOne(image, { ...options, signal, layers });
      if (references.length === 0) continue;
      const { mediaType } = image.manifest;
      const { bytes, digest } = image.document;
      const subject = { mediaType, digest, size: bytes.length };
      const index = buildFineManifest({ layers: references, subject });
      await pushBytes(target, { bytes: fineConfigBytes, digest: sha256(fineConfigBytes) }, { signal });
      await target.pushManifest({ ...index, signal });
      const descriptor = { mediaType: index.mediaType, digest: index.digest, size: index.size };
      listed.push({ ...descriptor, platform, artifactType: FINE_ARTIFACT_TYPE });
      manifests.push({ ...report, target: index.digest });
    }
    if (listed.length === 0) throw nothingIndexed();
    const list = changedIndex({ schemaVersion: 2 }, listed);
    await target.pushManifest({ ...list, signal });
    await target.name(descriptorOf(list), { signal });
    onEvent({ kind: "named", digest: list.digest });
    return { digest: list.digest, manifests };
  } catch (thrown) {
    all.abort(thrown);
    throw thrown;
  }
}

async function indexOne(
  { document, manifest }: ImageManifest,
  { source, layers, signal }: FineImageOptions & { readonly layers: FineLayers },
) {
  const config = parseImageConfig(
    await readBlob(source, manifest.config, { signal, bytesMax: CONFIG_BYTES_MAX }),
  );
  const tasks = imageLayers(manifest, config).map(
    async ({ descriptor, diffId }) => await layers.index(descriptor, diffId),
  );
  const settled = await Promise.allSettled(tasks);
  const failed = settled.find((one) => one.status === "rejected");
  if (failed !== undefined) throw failed.reason;
  const made = await Promise.all(tasks);
  return {
    references: made.flatMap(({ reference }) => (reference === undefined ? [] : [reference])),
    platform: config.platform,
    report: {
      platform: platformText(config.platform),
      source: document.digest,
      layers: made.map(({ outcome }) => outcome.report),
    },
  };
}

interface MadeFine {
  readonly reference: FineReference | undefined;
  readonly outcome: LayerOutcome;
}

interface FineLayersOptions
  extends Pick<FineImageOptions, "source" | "target" | "layerSizeMinBytes" | "signal"> {
  readonly onEvent: NonNullable<FineImageOptions["onEvent"]>;
}

/** Indexes layers, each once however often it comes. */
class FineLayers {
  readonly #options: FineLayersOptions;
  readonly #limit = pLimit(LAYERS_AT_ONCE);
  readonly #made = new Map<Digest, Promise<MadeFine>>();

  constructor(options: FineLayersOptions) {
    this.#options = options;
  }

  async index(layer: Descriptor, diffId: Digest): Promise<MadeFine> {
    let made = this.#made.get(layer.digest);
    if (made === undefined) {
      this.#options.onEvent({ kind: "found", layers: 1, bytes: layer.size });
      made = this.#limit(async () => await this.#one(layer, diffId));
      this.#made.set(layer.digest, made);
    }
    return await made;
  }

  async #one(layer: Descriptor, diffId: Digest): Promise<MadeFine> {
    const { onEvent, signal } = this.#options;
    signal?.throwIfAborted();
    onEvent({ kind: "began", layer: layer.digest, bytes: layer.size });
    const made = await this.#chosen(layer, diffId);
    onEvent({ kind: "ended", ...made.outcome.report });
    return made;
  }

  async #chosen(layer: Descriptor, diffId: Digest): Promise<MadeFine> {
    const task = { layer, descriptor: {}, diffId };
    const left = (note: string): MadeFine => ({
      reference: undefined,
      outcome: outcomeOf(task, { action: "kept", note }),
    });
    const type = layerType(layer.mediaType);
    if (type === undefined) return left("no-layer");
    if (type.encrypted) return left("encrypted");
    if (!type.distributable) return left("not-distributable");
    if (layer.size < (this.#options.layerSizeMinBytes ?? LAYER_BYTES_MIN)) return left("layer-small");
    try {
      const reference = await this.#build(layer, diffId);
      const { report, ...outcome } = outcomeOf(task, { action: "indexed" });
      const targetBytes = layer.size + reference.table.size + (reference.windows?.size ?? 0);
      return { reference, outcome: { ...outcome, report: { ...report, targetBytes } } };
    } catch (thrown) {
      if (!(thrown instanceof LazuliError) || !leftReasons.includes(thrown.reason ?? "")) throw thrown;
      return left(thrown.reason!);
    }
  }

  async #build(layer: Descriptor, diffId: Digest): Promise<FineReference> {
    const { source, target, signal, onEvent } = this.#options;
    const progress = new LayerProgress(layer.digest, onEvent);
    const binding = loadBinding();
    const { table, windows } = await buildFine({
      blob: await source.openBlob(layer, { signal }),
      diffId,
      signal,
      makeIndexer: (options) => new binding.StreamIndexer(options),
      compress: async (bytes, level) => await binding.compressFrame(bytes, level),
      onBytes: (bytes) => progress.read(bytes),
    });
    const [tableBlob, windowsBlob] = [table, windows].map((bytes) => ({
      bytes,
      digest: sha256(bytes),
      size: bytes.length,
    }));
    await pushBytes(target, tableBlob!, { signal });
    if (windows.length > 0) await pushBytes(target, windowsBlob!, { signal });
    progress.written(table.length + windows.length);
    progress.end();
    return {
      layer: layer.digest,
      table: { digest: tableBlob!.digest, size: table.length },
      windows: windows.length === 0 ? undefined : { digest: windowsBlob!.digest, size: windows.length },
    };
  }
}

function nothingIndexed(): Error {
  return failedPrecondition("Cannot create an index: no layer of the image can have one that is worth it", {
    reason: "fine-empty",
    hint: "`--min-layer-size 0` takes in small layers; those of zstd in one long frame are never indexed",
  });
}
