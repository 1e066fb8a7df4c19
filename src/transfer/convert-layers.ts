import pLimit from "p-limit";
import { sha256 } from "../bytes/index.js";
import { loadBinding } from "../fuse/index.js";
import { layerType } from "../oci/index.js";
import { sociAnnotations } from "../soci/index.js";
import { type BuiltZtoc, buildZtoc } from "./build-ztoc.js";
import type { ImageSource, ImageTarget, Waiting } from "./contract.js";
import type { ConvertEvent, LayerAction } from "./convert-event.js";
import { type ConvertedLayer, convertLayer } from "./convert-layer.js";
import type { ConvertRecord, RecordedLayer, RecordKey } from "./convert-record.js";
import { copyBlob, pushBytes } from "./copy-blob.js";
import { hasFormat } from "./has-format.js";
import type { LayerOptions } from "./layer-options.js";
import {
  indexedOutcome,
  isKeepReason,
  type LayerOutcome,
  type LayerTask,
  outcomeOf,
} from "./layer-outcome.js";
import { LayerProgress } from "./layer-progress.js";
import type { PackPool } from "./pack-pool.js";
import type { MakeIndexer } from "./read-layer.js";
import { ScratchFile } from "./scratch-file.js";

/** Layers that are read, packed and pushed at once: while one is pushed the others keep the threads busy. More wait. */
const LAYERS_AT_ONCE = 3;

export interface ConvertLayersOptions extends Waiting {
  readonly source: ImageSource;
  readonly target: ImageTarget;
  readonly options: LayerOptions;
  readonly pool: PackPool;
  readonly scratchFolder: string;
  readonly record: ConvertRecord | undefined;
  /** Of SOCI: whether layers that stay as they are go to the target. */
  readonly copiesLayers: boolean;
  readonly onEvent: (event: ConvertEvent) => void;
}

const makeIndexer: MakeIndexer = (options) => new (loadBinding().StreamIndexer)(options);

/** Converts the layers of an image, each once however often it comes, a few at a time. */
export class LayerConverter {
  readonly #options: ConvertLayersOptions;
  readonly #limit = pLimit(LAYERS_AT_ONCE);
  readonly #made = new Map<string, Promise<LayerOutcome>>();

  constructor(options: ConvertLayersOptions) {
    this.#options = options;
  }

  /** @throws as convertLayer(), buildZtoc() and the places */
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
    const { onEvent, signal } = this.#options;
    signal?.throwIfAborted();
    onEvent({ kind: "began", layer: task.layer.digest, bytes: task.layer.size });
    const outcome = await this.#chosen(task);
    onEvent({ kind: "ended", ...outcome.report });
    return outcome;
  }

  async #chosen(task: LayerTask): Promise<LayerOutcome> {
    const { options, source, signal } = this.#options;
    const { layer } = task;
    const type = layerType(layer.mediaType);
    if (type === undefined) return await this.#keep(task, "kept", "no-layer");
    if (type.encrypted) return await this.#keep(task, "kept", "encrypted");
    // Nobody may push such a layer, and whoever pulls the image has it from elsewhere.
    if (!type.distributable) return outcomeOf(task, { action: "kept", note: "not-distributable" });
    if (options.format === "soci") {
      if (layer.size < options.layerSizeMinBytes) return await this.#keep(task, "kept", "layer-small");
      return (await this.#reuse(task)) ?? (await this.#index(task));
    }
    const open = async () => await source.openBlob(layer, { signal });
    if (await hasFormat(layer, options, { open, signal })) return await this.#keep(task, "passed", undefined);
    return (await this.#reuse(task)) ?? (await this.#convert(task));
  }

  async #keep(task: LayerTask, action: LayerAction, note: string | undefined): Promise<LayerOutcome> {
    if (this.#options.copiesLayers) await copyBlob(this.#options, task.layer);
    return outcomeOf(task, { action, note });
  }

  async #reuse(task: LayerTask): Promise<LayerOutcome | undefined> {
    const { record, target, signal, copiesLayers, options } = this.#options;
    const made = await record?.find(this.#key(task));
    if (made === undefined) return undefined;
    for (const blob of [copiesLayers ? made : undefined, made.toc]) {
      if (blob !== undefined && !(await target.hasBlob(blob, { signal }))) return undefined;
    }
    const { format, spanSizeBytes } = options;
    return format === "soci"
      ? indexedOutcome(task, { action: "reused", made, spanSizeBytes })
      : outcomeOf(task, { action: "reused", made });
  }

  async #convert(task: LayerTask): Promise<LayerOutcome> {
    let converted: ConvertedLayer;
    try {
      converted = await this.#read(task);
    } catch (thrown) {
      if (!isKeepReason(thrown)) throw thrown;
      return await this.#keep(task, "kept", thrown.reason);
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
    const { source, signal, onEvent } = this.#options;
    const progress = new LayerProgress(layer.digest, onEvent);
    const converted = await convertLayer({
      ...this.#options,
      blob: await source.openBlob(layer, { signal }),
      diffId,
      makeIndexer,
      onBytes: (bytes) => progress.read(bytes),
      onWritten: (bytes) => progress.written(bytes),
    });
    progress.end();
    return converted;
  }

  /** Reads a layer once: for its zTOC, and into a file from which it goes to the target. */
  async #index(task: LayerTask): Promise<LayerOutcome> {
    const { target, signal, record, scratchFolder, copiesLayers, options } = this.#options;
    const { digest, size, mediaType } = task.layer;
    const needsCopy = copiesLayers && !(await target.hasBlob(task.layer, { signal }));
    await using copy = needsCopy ? await ScratchFile.make(scratchFolder) : undefined;
    let built: BuiltZtoc;
    try {
      built = await this.#build(task, copy);
    } catch (thrown) {
      if (!isKeepReason(thrown)) throw thrown;
      return await this.#keep(task, "kept", thrown.reason);
    }
    if (copy !== undefined) {
      await target.pushBlob({ digest, size, open: () => copy.pieces(0, size), signal });
    }
    const toc = { digest: sha256(built.bytes), size: built.bytes.length };
    await pushBytes(target, { bytes: built.bytes, digest: toc.digest }, { signal });
    const annotations: Record<string, string> = built.disablesXattrs
      ? { [sociAnnotations.disableXattrs]: "true" }
      : {};
    const made: RecordedLayer = { digest, size, mediaType, diffId: task.diffId, annotations, toc };
    await record?.keep(this.#key(task), made);
    return indexedOutcome(task, { action: "indexed", made, spanSizeBytes: options.spanSizeBytes });
  }

  async #build({ layer, diffId }: LayerTask, copy: ScratchFile | undefined): Promise<BuiltZtoc> {
    const { options, source, signal, scratchFolder, onEvent } = this.#options;
    const progress = new LayerProgress(layer.digest, onEvent);
    const built = await buildZtoc({
      blob: await source.openBlob(layer, { signal }),
      diffId,
      signal,
      scratchFolder,
      makeIndexer,
      spanSizeBytes: options.spanSizeBytes,
      copy,
      onBytes: (bytes) => progress.read(bytes),
    });
    progress.written(built.bytes.length);
    progress.end();
    return built;
  }

  #key({ layer, diffId }: LayerTask): RecordKey {
    return { layer: layer.digest, diffId, options: this.#options.options };
  }
}
