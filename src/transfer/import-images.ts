import type { ContentStore } from "../content/index.js";
import { invalidArgument, notFound } from "../errors/index.js";
import { log } from "../observe/index.js";
import { type Descriptor, isManifestType, MANIFEST_BYTES_MAX, parseIndex } from "../oci/index.js";
import { archiveIndex } from "./archive-index.js";
import { decompressed } from "./decompressed.js";
import { chosenChildren } from "./platform-filter.js";
import { readArchive } from "./read-archive.js";
import { REF_SOURCE_ANNOTATION, storeImages } from "./store-image.js";
import { childrenOf, isConfig, labelChildren, readStored } from "./stored-image.js";
import type { ImageStoreWish, TransferCall, TransferParts } from "./transfer-contract.js";
import { hasCode } from "./transfer-errors.js";
import type { TransferLimits } from "./transfer-limits.js";
import { TransferProgress } from "./transfer-progress.js";
import { metWishes, unpackImage } from "./unpack-image.js";

export interface ImportImages {
  readonly parts: TransferParts;
  readonly limits: TransferLimits;
  readonly call: TransferCall & { readonly lease: string };
  /** An OCI or Docker archive; gzip and zstd around it are taken off. */
  readonly bytes: AsyncIterable<Uint8Array>;
  readonly forceCompress: boolean;
  readonly store: ImageStoreWish;
}

/** Brings the images of an archive into the image store. @throws INVALID_ARGUMENT for what is no archive of images */
export async function importImages(request: ImportImages): Promise<void> {
  const { parts, call, store: wish, forceCompress } = request;
  const { signal } = call;
  call.report?.({ event: "Importing" });
  const content = parts.content(call);
  const bytes = decompressed(request.bytes);
  const archive = await readArchive({ store: content, bytes, signal });
  const index = await archiveIndex({ store: content, archive, forceCompress, signal });
  const indexBytes = await readStored(content, index.digest, { signal, bytesMax: MANIFEST_BYTES_MAX });
  const manifests = parseIndex(indexBytes).manifests;
  metWishes(parts, wish.unpacks);
  await walk(request, content, { index, manifests });
  const named = manifests.map((one) => ({
    ...one,
    annotations: { ...one.annotations, [REF_SOURCE_ANNOTATION]: "annotation" },
  }));
  for (const target of [index, ...named]) {
    try {
      const rows = await storeImages(parts, { namespace: call.namespace, wish, target });
      for (const { name } of rows) call.report?.({ event: "saved", name, descriptor: target });
    } catch (thrown) {
      if (!hasCode(thrown, "NOT_FOUND")) throw thrown;
      log.info("Gave no name to what was imported", { digest: target.digest });
    }
  }
  call.report?.({ event: "Completed import" });
}

/** Notes what keeps what, and unpacks the manifests that are wished for. */
async function walk(
  request: ImportImages,
  content: ContentStore,
  root: { readonly index: Descriptor; readonly manifests: readonly Descriptor[] },
): Promise<void> {
  const { call, store: wish } = request;
  using progress = new TransferProgress({ root: wish.name, moving: "downloading", report: undefined });
  const seen = new Set<string>();
  const visit = async (descriptor: Descriptor): Promise<number> => {
    if (seen.has(descriptor.digest)) return 0;
    seen.add(descriptor.digest);
    const all =
      descriptor.digest === root.index.digest
        ? root.manifests
        : await childrenOf(content, descriptor, { signal: call.signal });
    const children = chosenChildren(wish, descriptor, all);
    if (children.length > 0) await labelChildren(content, descriptor.digest, children);
    let count = children.length;
    for (const child of children) count += await visit(child);
    if (isManifestType(descriptor.mediaType) && wish.unpacks.length > 0 && children.some(isConfig)) {
      await unpack(request, { content, progress, manifest: descriptor });
    }
    return count;
  };
  if ((await visit(root.index)) > 0) return;
  throw invalidArgument("image might be filtered out", { reason: "image-empty" });
}

async function unpack(
  { parts, limits, call, store: wish }: ImportImages,
  at: { readonly content: ContentStore; readonly progress: TransferProgress; readonly manifest: Descriptor },
): Promise<void> {
  await unpackImage({
    parts,
    call,
    store: at.content,
    wishes: wish.unpacks,
    manifest: at.manifest,
    reference: undefined,
    fetch: async ({ digest }) => {
      try {
        await at.content.info(digest);
      } catch (thrown) {
        if (!hasCode(thrown, "NOT_FOUND")) throw thrown;
        throw notFound(`content digest ${digest}`, { subject: digest, reason: "layer-not-in-archive" });
      }
    },
    progress: at.progress,
    unpacks: limits.unpacks,
    turns: limits.turns,
  });
}
