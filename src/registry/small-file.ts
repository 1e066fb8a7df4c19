import { open } from "node:fs/promises";
import { failedPrecondition } from "../errors/index.js";
import { CONFIG_BYTES_MAX } from "./limits.js";

export interface SmallFile {
  readonly text: string;
  /** Changes when the file does. */
  readonly version: string;
}

/**
 * Reads a file of configuration, with a bound; undefined when it does not exist. `known` is the version that the
 * caller already has: then the text is not read again. @throws FAILED_PRECONDITION
 */
export async function readSmallFile(
  path: string,
  known?: string,
): Promise<SmallFile | "unchanged" | undefined> {
  const file = await open(path, "r").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT" || error.code === "ENOTDIR") return undefined;
    throw error;
  });
  if (file === undefined) return undefined;
  try {
    const stat = await file.stat({ bigint: true });
    if (!stat.isFile() || stat.size > BigInt(CONFIG_BYTES_MAX)) {
      throw failedPrecondition(
        `Cannot read "${path}": want a file of at most ${CONFIG_BYTES_MAX} bytes, got ${stat.size}`,
        { subject: path, reason: "config-file-unfit" },
      );
    }
    const version = `${stat.dev}:${stat.ino}:${stat.size}:${stat.mtimeNs}`;
    return version === known ? "unchanged" : { text: await file.readFile("utf8"), version };
  } finally {
    await file.close();
  }
}
