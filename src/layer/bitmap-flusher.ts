import { log } from "../observe/index.js";
import type { Clock, Timer } from "./clock.js";
import { FLUSH_LONGEST_MS, FLUSH_QUIET_MS, FLUSH_UNITS } from "./limits.js";

export interface BitmapFlusherOptions {
  readonly clock: Clock;
  readonly subject: string;
  /** Syncs the data file and writes down the bits that were set before. */
  readonly write: () => Promise<void>;
}

/** Decides when a layer's bitmap is written: after enough new units, after quiet, at the latest after a while. */
export class BitmapFlusher {
  readonly #options: BitmapFlusherOptions;
  #changes = 0;
  #firstChangeAt = 0;
  #timer: Timer | undefined;
  #writing: Promise<void> | undefined;
  #isClosed = false;

  constructor(options: BitmapFlusherOptions) {
    this.#options = options;
  }

  /** Units became present, or missing again. */
  changed(units: number): void {
    const now = this.#options.clock.now();
    if (this.#changes === 0) this.#firstChangeAt = now;
    this.#changes += units;
    this.#timer?.cancel();
    if (this.#isClosed) return;
    const latestMs = Math.max(0, this.#firstChangeAt + FLUSH_LONGEST_MS - now);
    const waitMs = this.#changes >= FLUSH_UNITS ? 0 : Math.min(FLUSH_QUIET_MS, latestMs);
    this.#timer = this.#options.clock.after(waitMs, () => void this.#flushOrLater());
  }

  /** What changed up to now is durable when it returns. @throws what writing throws */
  async flush(): Promise<void> {
    while (this.#writing !== undefined || this.#changes > 0) {
      this.#writing ??= this.#write().finally(() => {
        this.#writing = undefined;
      });
      await this.#writing;
    }
  }

  /** The last flush. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#timer?.cancel();
    await this.flush();
  }

  /** Nothing is written any more: the layer goes. */
  async abandon(): Promise<void> {
    this.#isClosed = true;
    this.#timer?.cancel();
    this.#changes = 0;
    // A write that runs ends before the folder goes; that it failed is of no interest any more.
    await this.#writing?.catch(() => undefined);
  }

  async #flushOrLater(): Promise<void> {
    try {
      await this.flush();
    } catch (thrown) {
      const { clock, subject } = this.#options;
      log.warn("Cannot write a layer's bitmap; it is tried again", { subject, error: String(thrown) });
      this.#timer?.cancel();
      if (!this.#isClosed) this.#timer = clock.after(FLUSH_LONGEST_MS, () => void this.#flushOrLater());
    }
  }

  async #write(): Promise<void> {
    const changes = this.#changes;
    this.#changes = 0;
    try {
      await this.#options.write();
    } catch (thrown) {
      this.#changes += changes;
      throw thrown;
    }
  }
}
