import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";
import { dataLoss, type LazuliError } from "../errors/index.js";
import { WINDOW_SIZE } from "../units/index.js";
import type { FineWindow } from "./fine-table.js";

/** As the native addon's: exactly one zstd frame, decoded into at most `maxSize` bytes. */
export type DecompressWindow = (frame: Uint8Array, maxSize: number) => Promise<Buffer>;

export function windowCrc(window: Uint8Array): number {
  return crc32(window);
}

/** What of a window there is to pack: nothing of one that is zeros, and nothing that lies before the archive. */
export function windowContent(window: Buffer, dataOffset: number): Buffer {
  const known = window.subarray(WINDOW_SIZE - Math.min(dataOffset, WINDOW_SIZE));
  return known.some((byte) => byte !== 0) ? known : known.subarray(0, 0);
}

/** A window from its bytes in the windows blob. @throws DATA_LOSS `fine-window-mismatch` */
export async function unpackWindow(options: {
  readonly packed: Buffer;
  readonly window: FineWindow;
  readonly decompress: DecompressWindow;
}): Promise<Buffer> {
  const { packed, window, decompress } = options;
  if (!createHash("sha256").update(packed).digest().equals(window.sha256)) throw mismatch("digest");
  const content = await decompress(packed, WINDOW_SIZE).catch((thrown: NodeJS.ErrnoException) => {
    throw thrown.code?.startsWith("ERR_ZSTD_") === true ? mismatch("encoding") : thrown;
  });
  const unpacked = Buffer.alloc(WINDOW_SIZE);
  content.copy(unpacked, WINDOW_SIZE - content.length);
  if (windowCrc(unpacked) !== window.crc) throw mismatch("checksum");
  return unpacked;
}

function mismatch(what: string): LazuliError {
  return dataLoss(`Cannot use the window of a span: it has another ${what} than the index says`, {
    reason: "fine-window-mismatch",
  });
}
