import type { Descriptor } from "../oci/index.js";
import type {
  ExportWish,
  ImageStoreWish,
  RegistryAccess,
  TransferCall,
  TransferParts,
} from "./transfer-contract.js";
import { transferLimits } from "./transfer-limits.js";

/** Moves images between registries, archives and the image store (containerd's core/transfer/local). */
export interface Transferrer {
  /** @returns what the image's name stands for now */
  pull(
    call: TransferCall,
    request: { readonly access: RegistryAccess; readonly store: ImageStoreWish },
  ): Promise<Descriptor>;
  push(
    call: TransferCall,
    request: { readonly access: RegistryAccess; readonly store: ImageStoreWish },
  ): Promise<void>;
  importImages(
    call: TransferCall,
    request: {
      readonly bytes: AsyncIterable<Uint8Array>;
      readonly forceCompress: boolean;
      readonly store: ImageStoreWish;
    },
  ): Promise<void>;
  /** `write` takes the archive to its end. */
  exportImages(
    call: TransferCall,
    request: {
      readonly store: ImageStoreWish;
      readonly wish: ExportWish;
      readonly write: (archive: AsyncIterable<Uint8Array>) => Promise<void>;
    },
  ): Promise<void>;
  /** Gives another name to what an image's name stands for. */
  tag(
    call: TransferCall,
    request: { readonly from: ImageStoreWish; readonly to: ImageStoreWish },
  ): Promise<void>;
}

/** What moves images into and out of a store is loaded when it is asked for: commands that only convert need none of it. */
export function createTransferrer(parts: TransferParts): Transferrer {
  const limits = transferLimits(parts);
  return {
    pull: async (outer, request) => {
      const { pullImage } = await import("./pull-image.js");
      return await leased(parts, outer, async (call) => await pullImage({ parts, limits, call, ...request }));
    },
    push: async (outer, request) => {
      const { pushImage } = await import("./push-image.js");
      await leased(parts, outer, async (call) => await pushImage({ parts, limits, call, ...request }));
    },
    importImages: async (outer, request) => {
      const { importImages } = await import("./import-images.js");
      await leased(parts, outer, async (call) => await importImages({ parts, limits, call, ...request }));
    },
    exportImages: async (outer, { store, wish, write }) => {
      const { exportImages } = await import("./export-image.js");
      await leased(parts, outer, async (call) => {
        call.report?.({ event: "Exporting" });
        await write(exportImages({ parts, call, store, wish }));
        call.report?.({ event: "Completed export" });
      });
    },
    tag: async (outer, { from, to }) => {
      const { storeImages } = await import("./store-image.js");
      const { descriptorOf } = await import("./stored-image.js");
      await leased(parts, outer, async ({ namespace }) => {
        const image = parts.images.get({ namespace, name: from.name });
        await storeImages(parts, { namespace, wish: to, target: descriptorOf(image.target) });
      });
    },
  };
}

async function leased<Result>(
  parts: TransferParts,
  outer: TransferCall,
  body: (call: TransferCall & { readonly lease: string }) => Promise<Result>,
): Promise<Result> {
  const { withLease } = await import("./transfer-lease.js");
  return await withLease(parts, outer, body);
}
