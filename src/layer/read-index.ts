import type { Digest } from "../bytes/index.js";
import { LazuliError, unavailable } from "../errors/index.js";
import { openToc } from "../estargz/index.js";
import type { BlobSource, RangeRequest } from "../registry/index.js";
import type { LayerRequest } from "./contract.js";
import { fetchedChannel } from "./events.js";

export interface LayerIndex {
  readonly toc: Buffer;
  readonly payloadEnd: number;
  /** Compressed bytes that were fetched for it. */
  readonly fetchedBytes: number;
}

/** Fetches a blob's TOC, from the blob or from where `loadExternalToc` finds it; wrong bytes are asked for once more, of another mirror where there is one. */
export async function readIndex(options: {
  readonly source: BlobSource;
  readonly tocDigest: Digest;
  readonly loadExternalToc: LayerRequest["loadExternalToc"];
  readonly signal: AbortSignal;
}): Promise<LayerIndex> {
  const { source, tocDigest, loadExternalToc, signal } = options;
  let fetchedBytes = 0;
  const count = (bytes: Buffer): Buffer => {
    fetchedBytes += bytes.length;
    fetchedChannel.publish({ digest: source.digest, priority: "index", bytes: bytes.length });
    return bytes;
  };
  const attempt = async () =>
    await openToc({
      blobSize: source.size,
      read: async (request) => count(await readWhole(source, request)),
      tocDigest,
      signal,
      loadExternalToc:
        loadExternalToc === undefined ? undefined : async (load) => count(await loadExternalToc(load)),
    });
  const opened = await attempt().catch(async (thrown: unknown) => {
    if (!(thrown instanceof LazuliError) || thrown.code !== "DATA_LOSS") throw thrown;
    source.distrust({ offset: 0, length: source.size });
    return await attempt();
  });
  return { toc: opened.toc, payloadEnd: opened.payloadEnd, fetchedBytes };
}

async function readWhole(source: BlobSource, request: RangeRequest): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let received = 0;
  for await (const piece of source.readRange(request)) {
    pieces.push(piece);
    received += piece.length;
    if (received > request.length) break;
  }
  if (received !== request.length) {
    throw unavailable(`Cannot read ${source.description}: want ${request.length} bytes, got ${received}`, {
      subject: source.digest,
      reason: "source-length",
    });
  }
  return Buffer.concat(pieces, received);
}
