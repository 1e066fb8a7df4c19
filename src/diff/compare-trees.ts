import { mediaTypes } from "../oci/index.js";
import type { DiffParts } from "./apply-layer.js";
import { ChangeWriter } from "./change-writer.js";
import type { CompareTrees, LayerDescriptor } from "./contract.js";
import { nativeFailure, untilDone } from "./native-failure.js";
import { changedLayer } from "./overlay-places.js";
import { readChanges } from "./read-changes.js";
import { withScratchFile } from "./scratch-file.js";
import { readOnlyMounts, withTemporaryMount } from "./temporary-mount.js";
import { newLayerForm, writeLayer } from "./write-layer.js";

export interface CompareParts extends DiffParts {
  /** Nanoseconds since 1970. */
  readonly now: () => bigint;
}

/** See LayerDiffer.compare(). */
export async function compareTrees(parts: CompareParts, request: CompareTrees): Promise<LayerDescriptor> {
  const { binding, scratch: folder } = parts;
  const { signal, lower } = request;
  const mediaType = request.mediaType === "" ? mediaTypes.ociLayerGzip : request.mediaType;
  const form = newLayerForm(mediaType);
  const upper = readOnlyMounts(request.upper);
  const guide = await changedLayer(lower, request.upper);
  return await withScratchFile(folder, async (file) => {
    await withTemporaryMount({ binding, folder, mounts: lower, signal }, async (lowerRoot) => {
      await withTemporaryMount({ binding, folder, mounts: upper, signal }, async (upperRoot) => {
        const trees = { lower: lowerRoot, upper: upperRoot, guide };
        const changes = await untilDone(binding.layerFiles.changes(trees), signal);
        const records = archiveRecords(changes, { parts, request });
        const call = binding.layerFiles.assemble({ root: upperRoot, archiveFd: file.fd, records });
        await untilDone(call, signal);
      });
    });
    const { size: archiveSize } = await file.stat();
    const { digest, size } = await writeLayer({ ...request, binding, form, file, size: archiveSize });
    return { mediaType, digest, size, annotations: {} };
  }).catch((thrown: unknown) => {
    throw nativeFailure(thrown, { action: "compare two trees", subject: request.ref });
  });
}

function archiveRecords(
  changes: Buffer,
  { parts, request }: { readonly parts: CompareParts; readonly request: CompareTrees },
): Buffer {
  const { sourceDateEpoch } = request;
  const writer = new ChangeWriter({
    whiteoutTime: sourceDateEpoch ?? parts.now(),
    timeMax: sourceDateEpoch,
  });
  for (const change of readChanges(changes)) writer.add(change);
  return writer.end();
}
