import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { readBoundedFile } from "../files/index.js";
import type { StartTrace } from "./contract.js";
import { TRACE_BYTES_MAX } from "./limits.js";
import { decodeTrace } from "./trace-json.js";

/** Of a store's files. */
export const SUFFIX = ".json";

/**
 * Reads a trace by its id from the folder where a server on this node keeps them, without its help.
 * @throws the system's error, DATA_LOSS
 */
export async function readTraceFile(folder: string, id: string): Promise<StartTrace> {
  return decodeTrace(await readTraceBytes(folder, id));
}

/** @throws DATA_LOSS where it is no file, or larger than a trace */
export async function readTraceBytes(folder: string, id: string): Promise<Buffer> {
  const options = { bytesMax: TRACE_BYTES_MAX, what: "trace", reason: "trace-damaged" };
  return (await readBoundedFile(join(folder, `${id}${SUFFIX}`), options)).bytes;
}

/** Of the names in such a folder: the ids of traces in the order of time. */
export function idsOf(names: readonly string[]): readonly string[] {
  return names
    .filter((name) => name.endsWith(SUFFIX))
    .map((name) => name.slice(0, -SUFFIX.length))
    .sort();
}

/** The ids of all traces in the order of time; none where there is no folder. */
export async function traceIds(folder: string): Promise<readonly string[]> {
  try {
    return idsOf(await readdir(folder));
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw thrown;
  }
}
