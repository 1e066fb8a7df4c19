import type { FileHandle } from "node:fs/promises";
import type { NativeBinding } from "../fuse/index.js";
import { mediaTypes } from "../oci/index.js";
import type { StreamProcessor } from "../processors/index.js";
import { readTar } from "../tar/index.js";
import type { ApplyLayer, LayerDescriptor } from "./contract.js";
import { decodeBlob } from "./decode-blob.js";
import { LayerRecords } from "./layer-records.js";
import { nativeFailure, untilDone } from "./native-failure.js";
import { overlayPlaces } from "./overlay-places.js";
import { withScratchFile } from "./scratch-file.js";
import { withTemporaryMount } from "./temporary-mount.js";

export type DiffBinding = Pick<
  NativeBinding,
  "StreamIndexer" | "layerFiles" | "mount" | "umount" | "mounts" | "fileSteps" | "compressFrame"
>;

export interface DiffParts {
  readonly binding: DiffBinding;
  readonly processors: readonly StreamProcessor[];
  /** A private folder on a disk with room for one uncompressed layer a call. */
  readonly scratch: string;
}

/** See LayerDiffer.apply(). */
export async function applyLayer(parts: DiffParts, request: ApplyLayer): Promise<LayerDescriptor> {
  const { binding, processors } = parts;
  const { signal, mounts, layer } = request;
  return await withScratchFile(parts.scratch, async (file) => {
    const archive = await decodeBlob({ ...request, binding, processors, file });
    const records = await readRecords(file, archive.size, signal);
    const unpack = { binding, file, records, request };
    const overlay = overlayPlaces(mounts);
    if (overlay === undefined) {
      await withTemporaryMount({ binding, folder: parts.scratch, mounts, signal }, async (root) => {
        await unpackInto({ ...unpack, root, isOverlay: false, parents: [] });
      });
    } else {
      const { upper: root, lowers: parents } = overlay;
      await unpackInto({ ...unpack, root, isOverlay: true, parents });
    }
    return { mediaType: mediaTypes.ociLayer, digest: archive.digest, size: archive.size, annotations: {} };
  }).catch((thrown: unknown) => {
    throw nativeFailure(thrown, { action: `unpack layer ${layer.digest}`, subject: layer.digest });
  });
}

async function readRecords(file: FileHandle, size: number, signal: AbortSignal): Promise<LayerRecords> {
  const records = new LayerRecords();
  const read = async ({ offset, length }: { offset: number; length: number }): Promise<Buffer> => {
    const buffer = Buffer.allocUnsafe(length);
    const { bytesRead } = await file.read(buffer, 0, length, offset);
    return buffer.subarray(0, bytesRead);
  };
  for await (const entry of readTar({ size, read, signal })) records.add(entry);
  return records;
}

async function unpackInto(options: {
  readonly binding: DiffBinding;
  readonly file: FileHandle;
  readonly records: LayerRecords;
  readonly request: ApplyLayer;
  readonly root: string;
  readonly isOverlay: boolean;
  readonly parents: readonly string[];
}): Promise<void> {
  const { binding, file, records, request, root, isOverlay, parents } = options;
  const call = binding.layerFiles.unpack({
    root,
    archiveFd: file.fd,
    isOverlay,
    parents,
    records: records.bytes,
  });
  await untilDone(call, request.signal);
  if (request.syncFs) await binding.fileSteps([{ kind: "syncFileSystem", path: root }]);
}
