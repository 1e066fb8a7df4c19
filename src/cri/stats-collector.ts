import { delay } from "../async/index.js";
import { LazuliError } from "../errors/index.js";
import { log } from "../observe/index.js";

export interface StatsCollectorOptions {
  readonly periodMs: number;
  /** Each is run once a round, one after the other. */
  readonly works: readonly ((options: { readonly signal: AbortSignal }) => Promise<void>)[];
}

/** A round that took long is followed by a pause of so many times its length, so that looking never is most of the work. */
const PAUSE_FACTOR = 9;

/** Looks at containers and snapshots in the background, at once and then every period. */
export class StatsCollector implements AsyncDisposable {
  readonly #options: StatsCollectorOptions;
  readonly #controller = new AbortController();
  readonly #running: Promise<void>;

  constructor(options: StatsCollectorOptions) {
    this.#options = options;
    this.#running = this.#run();
  }

  /** Ends a running round at its next step, and waits for that. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#controller.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#controller;
    while (!signal.aborted) {
      const startedMs = performance.now();
      for (const work of this.#options.works) {
        try {
          await work({ signal });
        } catch (thrown) {
          if (signal.aborted) return;
          log.warn("Cannot collect statistics", { error: LazuliError.from(thrown).message });
        }
      }
      const tookMs = performance.now() - startedMs;
      // Rejects when it is closed.
      await delay(Math.max(this.#options.periodMs, tookMs * PAUSE_FACTOR), { signal }).catch(() => undefined);
    }
  }
}
