import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { dataLoss } from "../errors/index.js";

export interface BoundedFile {
  readonly bytes: Buffer;
  /** Milliseconds since 1970. */
  readonly modifiedAtMs: number;
}

export interface ReadBoundedOptions {
  readonly bytesMax: number;
  /** As the message names it: `a trace`. */
  readonly what: string;
  readonly reason: string;
  readonly hint?: string;
}

/**
 * Reads a file as it is now. No link is followed and no FIFO waited for.
 *
 * @throws DATA_LOSS with this reason where it is larger, or no file; what the file system throws
 */
export async function readBoundedFile(path: string, options: ReadBoundedOptions): Promise<BoundedFile> {
  const { bytesMax, what, reason, hint } = options;
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const facts = await file.stat();
    if (!facts.isFile() || facts.size > bytesMax) {
      throw dataLoss(`Cannot read ${what}: want a file of at most ${bytesMax} bytes, got ${facts.size}`, {
        subject: path,
        reason,
        ...(hint === undefined ? {} : { hint }),
      });
    }
    const buffer = Buffer.alloc(facts.size);
    const { bytesRead } = await file.read(buffer, 0, buffer.length, 0);
    return { bytes: buffer.subarray(0, bytesRead), modifiedAtMs: facts.mtimeMs };
  } finally {
    await file.close();
  }
}
