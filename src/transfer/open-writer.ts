import { delay } from "../async/index.js";
import type { ContentStore, IngestWriter, OpenIngest } from "../content/index.js";
import { hasCode } from "./transfer-errors.js";

/** Pauses while another writer has the ingest; they grow between these. */
const PAUSE_MIN_MS = 50;
const PAUSE_MAX_MS = 1000;

/**
 * Opens an ingest, after whoever has it. @returns undefined when the expected blob is there by now @throws the signal's
 * reason, and as `ContentStore.writer`
 */
export async function openWriter(store: ContentStore, ingest: OpenIngest): Promise<IngestWriter | undefined> {
  for (let pauseMs = PAUSE_MIN_MS; ; pauseMs = Math.min(pauseMs * 2, PAUSE_MAX_MS)) {
    try {
      return await store.writer(ingest);
    } catch (thrown) {
      if (hasCode(thrown, "ALREADY_EXISTS")) return undefined;
      if (!hasCode(thrown, "UNAVAILABLE")) throw thrown;
      await delay(pauseMs, { signal: ingest.signal });
    }
  }
}
