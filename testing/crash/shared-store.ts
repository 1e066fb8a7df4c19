import type { ContentStore } from "../../src/content/index.js";
import { memoryStore } from "../../test/content/namespaced-memory.js";

/** The workload leaves content and unreachable rows alone while the modules that own them are not there to be tried. */
export const TRIES_CONTENT = false;
export const TRIES_COLLECTOR = false;

export async function openSharedStore(options: {
  readonly root: string;
  readonly now: () => bigint;
}): Promise<ContentStore> {
  return memoryStore(options.now);
}
