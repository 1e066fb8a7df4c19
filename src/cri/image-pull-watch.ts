import { deadlineExceeded } from "../errors/index.js";
import type { TransferEvent } from "../transfer/index.js";

/** Looks in the time that a pull may stand still. */
const LOOKS = 4;

/** When any pull last brought a byte: a layer that waits for its turn waits for those of other pulls too. */
export class PullActivity {
  #lastMs = 0;

  get lastMs(): number {
    return this.#lastMs;
  }

  note(nowMs: number): void {
    this.#lastMs = nowMs;
  }
}

export interface PullWatchOptions {
  readonly reference: string;
  /** 0: a pull may stand still for ever. */
  readonly timeoutMs: number;
  readonly activity: PullActivity;
  /** Ends the pull as well. */
  readonly signal: AbortSignal;
}

interface Download {
  readonly isWaiting: boolean;
  readonly offset: number;
  readonly movedMs: number;
}

/** Ends a pull that downloads and gets no byte for so long. Time in which nothing is downloaded does not count. */
export class PullWatch implements Disposable {
  readonly #options: PullWatchOptions;
  readonly #controller = new AbortController();
  readonly #downloads = new Map<string, Download>();
  readonly #timer: NodeJS.Timeout | undefined;
  readonly #onAbort = (): void => this.#controller.abort(this.#options.signal.reason);

  constructor(options: PullWatchOptions) {
    this.#options = options;
    const { signal, timeoutMs } = options;
    if (signal.aborted) this.#onAbort();
    else signal.addEventListener("abort", this.#onAbort, { once: true });
    if (timeoutMs === 0) return;
    this.#timer = setInterval(() => this.#look(), Math.ceil(timeoutMs / LOOKS));
    this.#timer.unref();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Takes what the transfer tells. */
  readonly report = ({ event, name = "", progress = 0 }: TransferEvent): void => {
    const nowMs = performance.now();
    if (event === "waiting") {
      this.#downloads.set(name, { isWaiting: true, offset: 0, movedMs: nowMs });
    } else if (event === "downloading") {
      const before = this.#downloads.get(name);
      if (before !== undefined && before.offset === progress) return;
      this.#downloads.set(name, { isWaiting: false, offset: progress, movedMs: nowMs });
      this.#options.activity.note(nowMs);
    } else {
      this.#downloads.delete(name);
    }
  };

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#options.signal.removeEventListener("abort", this.#onAbort);
  }

  #look(): void {
    const { reference, timeoutMs, activity } = this.#options;
    const sinceMs = performance.now() - timeoutMs;
    for (const { isWaiting, movedMs } of this.#downloads.values()) {
      const lastMs = isWaiting ? Math.max(movedMs, activity.lastMs) : movedMs;
      if (lastMs > sinceMs) continue;
      this.#controller.abort(
        deadlineExceeded(`Cannot pull ${reference}: no byte came for ${timeoutMs / 1000} s`, {
          subject: reference,
          reason: "pull-stalled",
          hint: "Check the registry, or set image_pull_progress_timeout",
        }),
      );
      return;
    }
  }
}
