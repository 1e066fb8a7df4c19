import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { readBoundedFile } from "../files/index.js";
import { decodeTrace, type StartTrace } from "../traces/index.js";

/** A longer file is no trace: the room of traces writes at most 8 MiB. */
const TRACE_FILE_BYTES_MAX = 8 << 20;
const SUFFIX = ".json";

/**
 * Reads a trace by its id from the folder where a server on this node keeps them, without its help.
 * @throws the system's error, DATA_LOSS
 */
export async function readTraceFile(folder: string, id: string): Promise<StartTrace> {
  const options = { bytesMax: TRACE_FILE_BYTES_MAX, what: "trace", reason: "trace-damaged" };
  return decodeTrace((await readBoundedFile(join(folder, `${id}${SUFFIX}`), options)).bytes);
}

/** The ids of all traces in the order of time; none where there is no folder. */
export async function traceIds(folder: string): Promise<readonly string[]> {
  try {
    const names = await readdir(folder);
    return names
      .filter((name) => name.endsWith(SUFFIX))
      .map((name) => name.slice(0, -SUFFIX.length))
      .sort();
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw thrown;
  }
}
