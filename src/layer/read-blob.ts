import { unavailable } from "../errors/index.js";
import type { BlobSource, RangeRequest } from "../registry/index.js";

/** One range of a blob in memory. The caller bounds its length. @throws UNAVAILABLE, as BlobSource.readRange() */
export async function readBlobRange(source: BlobSource, request: RangeRequest): Promise<Buffer> {
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
