import type { Clock } from "./clock.js";
import { WAITING_READS_MAX } from "./limits.js";

/**
 * The kernel answers a failed readahead by asking for the same pages one by one, at once. For so long such a read
 * shares the outcome: else a process would wait a whole deadline for each, five in a row for 128 KiB.
 */
const ASKED_AGAIN_MS = 100;

interface Span {
  first: number;
  last: number;
  readonly untilMs: number;
}

/** Units of one layer whose readers have just been told that their deadline is over. */
export class RecentDeadlines {
  readonly #clock: Clock;
  /** As many as reads can wait; beyond that the oldest is forgotten, and its reader waits once more. */
  #spans: Span[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  note(first: number, last: number): void {
    this.#dropOld();
    if (this.#spans.length >= WAITING_READS_MAX) this.#spans.shift();
    this.#spans.push({ first, last, untilMs: this.#clock.now() + ASKED_AGAIN_MS });
  }

  /** Whether a read touches such units; it belongs to them from then on, which does not make them last longer. */
  isAskedAgain(first: number, last: number): boolean {
    this.#dropOld();
    const span = this.#spans.find((one) => first <= one.last + 1 && last >= one.first - 1);
    if (span === undefined) return false;
    span.first = Math.min(first, span.first);
    span.last = Math.max(last, span.last);
    return true;
  }

  #dropOld(): void {
    const now = this.#clock.now();
    this.#spans = this.#spans.filter((span) => span.untilMs > now);
  }
}
