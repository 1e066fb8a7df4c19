import pLimit from "p-limit";
import { type Digest, sha256 } from "../bytes/index.js";
import { LazuliError } from "../errors/index.js";
import { loadBinding, type StreamIndexerOptions } from "../fuse/index.js";
import { type Descriptor, layerType } from "../oci/index.js";
import type { ImageSource, ImageTarget, Waiting } from "./contract.js";
import type { ConvertEvent, LayerAction, LayerReport } from "./convert-event.js";
import { type ConvertedLayer, convertLayer } from "./convert-layer.js";
import type { BlobName, ConvertRecord, RecordedLayer, RecordKey } from "./convert-record.js";
import { copyBlob, pushBytes } from "./copy-blob.js";
import { changedLayer, type Fields, keptLayer } from "./documents.js";
import { hasFormat } from "./has-format.js";
import type { LayerOptions } from "./layer-options.js";
import type { PackPool } from "./pack-pool.js";

/** Layers that are read, packed and pushed at once: while one is pushed the others keep the threads busy. More wait. */
const LAYERS_AT_ONCE = 3;
/** Bytes between two events of progress of one layer. */
const PROGRESS_BYTES = 1024 * 1024;

/** What stays as it is rather than failing the image: no bytes of that format can say what such a layer says. */
const keepReasons: readonly string[] = [
  "layer-entry-sparse",
  "layer-entry-reserved",
  "toc-name-lossy",
  "toc-name",
  "toc-time",
  "toc-too-large",
  "toc-too-many-entries",
  "tar-split-too-large",
  "tar-unwritable",
];

export interface ConvertLayersOptions extends Waiting {
  readonly source: ImageSource;
  readonly target: ImageTarget;
  readonly options: LayerOptions;
  readonly pool: PackPool;
  readonly scratchFolder: string;
  readonly record: ConvertRecord | undefined;
  readonly onEvent: (event: ConvertEvent) => void;
}

export interface LayerOutcome {
  /** For the manifest. */
  readonly descriptor: Fields;
  readonly diffId: Digest;
  readonly toc: BlobName | undefined;
  readonly report: LayerReport;
}

export interface LayerTask {
  readonly layer: Descriptor;
  /** The descriptor as it stands in the manifest. */
  readonly descriptor: Fields;
  readonly diffId: Digest;
}

/** Converts the layers of an image, each once however often it comes, a few at a time. */
export class LayerConverter {
  readonly #options: ConvertLayersOptions;
  readonly #limit = pLimit(LAYERS_AT_ONCE);
  readonly #made = new Map<string, Promise<LayerOutcome>>();

  constructor(options: ConvertLayersOptions) {
    this.#options = options;
  }

  /** @throws as convertLayer() and the places */
  async convert(task: LayerTask): Promise<LayerOutcome> {
    const key = `${task.layer.digest} ${task.diffId} ${task.layer.mediaType}`;
    let made = this.#made.get(key);
    if (made === undefined) {
      this.#options.onEvent({ kind: "found", layers: 1, bytes: task.layer.size });
      made = this.#limit(async () => await this.#one(task));
      this.#made.set(key, made);
    }
    return await made;
  }

  async #one(task: LayerTask): Promise<LayerOutcome> {
    const { options, source, onEvent, signal } = this.#options;
    const { layer } = task;
    signal?.throwIfAborted();
    onEvent({ kind: "began", layer: layer.digest, bytes: layer.size });
    const outcome = await this.#chosen(task, {
      hasFormat: async () =>
        await hasFormat(layer, options, {
          open: async () => await source.openBlob(layer, { signal }),
          signal,
        }),
    });
    onEvent({ kind: "ended", ...outcome.report });
    return outcome;
  }

  async #chosen(task: LayerTask, ask: { readonly hasFormat: () => Promise<boolean> }): Promise<LayerOutcome> {
    const type = layerType(task.layer.mediaType);
    if (type === undefined) return await this.#keep(task, "kept", "no-layer");
    if (type.encrypted) return await this.#keep(task, "kept", "encrypted");
    // Nobody may push such a layer, and whoever pulls the image has it from elsewhere.
    if (!type.distributable) return outcomeOf(task, { action: "kept", note: "not-distributable" });
    if (await ask.hasFormat()) return await this.#keep(task, "passed", undefined);
    return (await this.#reuse(task)) ?? (await this.#convert(task));
  }

  async #keep(task: LayerTask, action: LayerAction, note: string | undefined): Promise<LayerOutcome> {
    await copyBlob(this.#options, task.layer);
    return outcomeOf(task, { action, note });
  }

  async #reuse(task: LayerTask): Promise<LayerOutcome | undefined> {
    const { record, target, signal } = this.#options;
    const known = await record?.find(this.#key(task));
    if (known === undefined) return undefined;
    for (const blob of [known, known.toc]) {
      if (blob !== undefined && !(await target.hasBlob(blob, { signal }))) return undefined;
    }
    return outcomeOf(task, { action: "reused", made: known });
  }

  async #convert(task: LayerTask): Promise<LayerOutcome> {
    let converted: ConvertedLayer;
    try {
      converted = await this.#read(task);
    } catch (thrown) {
      const reason = thrown instanceof LazuliError ? thrown.reason : undefined;
      if (reason === undefined || !keepReasons.includes(reason)) throw thrown;
      return await this.#keep(task, "kept", reason);
    }
    await using file = converted.file;
    const { digest, size, mediaType, diffId, annotations, tocBlob } = converted;
    const { target, signal, record } = this.#options;
    await target.pushBlob({ digest, size, open: () => file.pieces(0, size), signal });
    const toc = tocBlob === undefined ? undefined : { digest: sha256(tocBlob), size: tocBlob.length };
    if (toc !== undefined && tocBlob !== undefined) {
      await pushBytes(target, { bytes: tocBlob, digest: toc.digest }, { signal });
    }
    const made: RecordedLayer = { digest, size, mediaType, diffId, annotations, toc };
    await record?.keep(this.#key(task), made);
    return outcomeOf(task, { action: "converted", made });
  }

  async #read({ layer, diffId }: LayerTask): Promise<ConvertedLayer> {
    const { options, pool, scratchFolder, source, signal, onEvent } = this.#options;
    let bytesIn = 0;
    let bytesOut = 0;
    let written = 0;
    const tell = (isLast = false): void => {
      if (!isLast && bytesIn + written - bytesOut < PROGRESS_BYTES) return;
      onEvent({ kind: "progress", layer: layer.digest, bytesIn, bytesOut: written - bytesOut });
      bytesIn = 0;
      bytesOut = written;
    };
    const converted = await convertLayer({
      blob: await source.openBlob(layer, { signal }),
      diffId,
      options,
      pool,
      scratchFolder,
      signal,
      makeIndexer: (indexerOptions: StreamIndexerOptions) =>
        new (loadBinding().StreamIndexer)(indexerOptions),
      onBytes: (bytes) => {
        bytesIn += bytes;
        tell();
      },
      onWritten: (bytes) => {
        written = bytes;
        tell();
      },
    });
    tell(true);
    return converted;
  }

  #key({ layer, diffId }: LayerTask): RecordKey {
    return { layer: layer.digest, diffId, options: this.#options.options };
  }
}

function outcomeOf(
  task: LayerTask,
  result: { readonly action: LayerAction; readonly note?: string | undefined; readonly made?: RecordedLayer },
): LayerOutcome {
  const { layer } = task;
  const { action, note, made } = result;
  return {
    descriptor: made === undefined ? keptLayer(task.descriptor) : changedLayer(task.descriptor, made),
    diffId: made?.diffId ?? task.diffId,
    toc: made?.toc,
    report: {
      source: layer.digest,
      target: made?.digest ?? layer.digest,
      action,
      sourceBytes: layer.size,
      targetBytes: made?.size ?? layer.size,
      note,
    },
  };
}
