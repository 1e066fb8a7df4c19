import { channel } from "../observe/index.js";

/** A collection that ended well: objects removed, bytes of blobs freed, names in the graph, and how long it took. */
export const collectedChannel = channel<{
  readonly removed: number;
  readonly bytesFreed: number;
  readonly nodesSeen: number;
  readonly durationMs: number;
}>("lazuli:gc.collected");

/** A collection that the scheduler started and that failed; it is tried again. */
export const collectionFailedChannel = channel<{
  readonly code: string;
  readonly error: string;
  readonly retryMs: number;
}>("lazuli:gc.failed");
