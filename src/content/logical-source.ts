import type { Digest } from "../bytes/index.js";
import { notFound } from "../errors/index.js";
import type { BlobSource, Registry } from "../registry/index.js";
import type { Labels } from "./contract.js";

/** What is known of a blob whose bytes are elsewhere. */
export interface LogicalBlob {
  /** Bytes. */
  readonly size: number;
  readonly labels: Labels;
}

/** Where blobs come from that the store has not got. */
export interface LogicalSource {
  find(digest: Digest): LogicalBlob | undefined;
  /** @throws NOT_FOUND, and what the registry throws */
  open(digest: Digest, options: { signal?: AbortSignal | undefined }): Promise<BlobSource>;
}

/** The part of the layer engine that is needed here, which lies above this room. */
export interface KnownLayers {
  has(digest: Digest): boolean;
  /** @throws NOT_FOUND */
  status(digest: Digest): { readonly reference: string; readonly blobBytes: number };
}

/** The blobs of the engine's layers, at the registries that they are lazily read from. */
export function layerBlobSource(options: {
  readonly layers: KnownLayers;
  readonly registry: Pick<Registry, "openBlob">;
}): LogicalSource {
  const { layers, registry } = options;
  return {
    find: (digest) => {
      if (!layers.has(digest)) return undefined;
      return { size: layers.status(digest).blobBytes, labels: {} };
    },
    open: async (digest, { signal }) => {
      if (!layers.has(digest)) {
        throw notFound(`Cannot fetch blob ${digest}: no layer of this node is made from it`, {
          subject: digest,
          reason: "blob-unknown",
        });
      }
      const { reference, blobBytes } = layers.status(digest);
      return await registry.openBlob({ reference, digest, size: blobBytes, signal });
    },
  };
}
