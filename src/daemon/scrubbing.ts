import { delay } from "../async/index.js";
import type { LocalStore } from "../content/index.js";
import { LazuliError } from "../errors/index.js";
import { log } from "../observe/index.js";

/** Between the end of a round over all blobs and the next. */
const ROUND_PAUSE_MS = 6 * 3_600_000;
/** Before the first round: a start has better things to read. */
const FIRST_PAUSE_MS = 10 * 60_000;

/** Reads all blobs again, round after round, until it is closed. A round that fails is told, and the next one comes. */
export function startScrubbing(options: {
  readonly store: Pick<LocalStore, "scrub">;
  readonly bytesPerSecond: number;
}): { close(): Promise<void> } {
  const { store, bytesPerSecond } = options;
  const ending = new AbortController();
  const { signal } = ending;
  const rounds = async (): Promise<void> => {
    await delay(FIRST_PAUSE_MS, { signal });
    while (!signal.aborted) {
      await scrubOnce(store, { bytesPerSecond, signal });
      await delay(ROUND_PAUSE_MS, { signal });
    }
  };
  // The pauses end by throwing when it is closed.
  const running = rounds().catch(() => undefined);
  return {
    close: async () => {
      ending.abort();
      await running;
    },
  };
}

async function scrubOnce(
  store: Pick<LocalStore, "scrub">,
  options: { readonly bytesPerSecond: number; readonly signal: AbortSignal },
): Promise<void> {
  try {
    const { blobs, damaged } = await store.scrub(options);
    if (options.signal.aborted) return;
    if (damaged.length === 0) log.info("Scrubbed the content store", { blobs });
    else log.error("Found damaged blobs", { blobs, damaged: damaged.length, first: damaged[0] });
  } catch (thrown) {
    const { message, code } = LazuliError.from(thrown);
    log.warn("Cannot scrub the content store", { error: message, code });
  }
}
