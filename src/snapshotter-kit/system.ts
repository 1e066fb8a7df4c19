import { loadBinding } from "../fuse/index.js";

/** The system's clock in nanoseconds since 1970, as snapshots' times have it. */
export function now(): bigint {
  return loadBinding().realtimeNanoseconds();
}

/** Makes everything durable that was written to the file system that holds a folder (syncfs(2)). */
export async function syncFileSystem(folder: string): Promise<void> {
  await loadBinding().fileSteps([{ kind: "syncFileSystem", path: folder }]);
}
