/** Runs an action when waiting took too long; only the time between `start` and `stop` counts. */
export class StallTimer {
  readonly #timeoutMs: number;
  readonly #stalled: () => void;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: { timeoutMs: number; stalled: () => void }) {
    this.#timeoutMs = options.timeoutMs;
    this.#stalled = options.stalled;
  }

  start(timeoutMs = this.#timeoutMs): void {
    this.stop();
    this.#timer = setTimeout(this.#stalled, timeoutMs);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}
