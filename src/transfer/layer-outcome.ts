import type { Digest } from "../bytes/index.js";
import { LazuliError } from "../errors/index.js";
import type { Descriptor } from "../oci/index.js";
import { sociAnnotations, type ZtocReference } from "../soci/index.js";
import type { LayerAction, LayerReport } from "./convert-event.js";
import type { BlobName, RecordedLayer } from "./convert-record.js";
import { changedLayer, type Fields, keptLayer } from "./documents.js";

export interface LayerTask {
  readonly layer: Descriptor;
  /** The descriptor as it stands in the manifest. */
  readonly descriptor: Fields;
  readonly diffId: Digest;
}

export interface LayerOutcome {
  /** For the manifest. */
  readonly descriptor: Fields;
  readonly diffId: Digest;
  /** The layer of the TOC image. */
  readonly toc: BlobName | undefined;
  /** Of SOCI. */
  readonly ztoc: ZtocReference | undefined;
  readonly report: LayerReport;
}

/** What stays as it is rather than failing the image: no bytes of the format can say what such a layer says. */
const keepReasons: readonly string[] = [
  "layer-empty",
  "layer-entry-sparse",
  "layer-entry-reserved",
  "toc-name-lossy",
  "toc-name",
  "toc-time",
  "toc-too-large",
  "toc-too-many-entries",
  "tar-split-too-large",
  "tar-unwritable",
  "soci-codec",
];

export function isKeepReason(thrown: unknown): thrown is LazuliError & { readonly reason: string } {
  return thrown instanceof LazuliError && thrown.reason !== undefined && keepReasons.includes(thrown.reason);
}

/** Of a layer that stays as it is where nothing was made. */
export function outcomeOf(
  task: LayerTask,
  result: {
    readonly action: LayerAction;
    readonly note?: string | undefined;
    readonly made?: RecordedLayer;
  },
): LayerOutcome {
  const { layer } = task;
  const { action, note, made } = result;
  return {
    descriptor: made === undefined ? keptLayer(task.descriptor) : changedLayer(task.descriptor, made),
    diffId: made?.diffId ?? task.diffId,
    toc: made?.toc,
    ztoc: undefined,
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

/** Of a layer that stays as it is and has a zTOC beside it. */
export function indexedOutcome(
  task: LayerTask,
  result: { readonly action: LayerAction; readonly made: RecordedLayer; readonly spanSizeBytes: number },
): LayerOutcome {
  const { layer } = task;
  const { action, made, spanSizeBytes } = result;
  const kept = outcomeOf(task, { action });
  if (made.toc === undefined) return kept;
  const ztoc: ZtocReference = {
    ...made.toc,
    layerDigest: layer.digest,
    layerMediaType: layer.mediaType,
    spanSize: spanSizeBytes,
    disablesXattrs: made.annotations[sociAnnotations.disableXattrs] === "true",
  };
  return { ...kept, ztoc, report: { ...kept.report, targetBytes: layer.size + made.toc.size } };
}
