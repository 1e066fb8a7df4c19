import { resourceExhausted } from "../errors/index.js";
import type { Exchange } from "./exchange.js";

/** Reads a body that must be short. @throws RESOURCE_EXHAUSTED when it is not */
export async function readWhole(
  exchange: Exchange,
  options: { bytesMax: number; subject: string },
): Promise<Buffer> {
  const { bytesMax, subject } = options;
  const pieces: Buffer[] = [];
  let bytes = exchange.contentLength ?? 0;
  if (bytes <= bytesMax) {
    bytes = 0;
    for await (const piece of exchange.pieces()) {
      bytes += piece.length;
      if (bytes > bytesMax) break;
      pieces.push(piece);
    }
  }
  if (bytes <= bytesMax) return Buffer.concat(pieces);
  throw resourceExhausted(
    `Cannot read "${subject}" from ${exchange.host}: want at most ${bytesMax} bytes, got ${bytes}`,
    { subject, reason: "too-large" },
  );
}
