/** A timer may be this much early: Node's timers have whole milliseconds. */
const EARLY_MS = 0.25;

/** Actions that were run are taken out of the list in bulk, once there are this many. */
const DONE_MAX = 1024;

/** Runs actions at their times, in the order of their times, with one timer. */
export class Schedule {
  readonly #waiting: { readonly dueMs: number; readonly run: () => void }[] = [];
  #head = 0;
  #timer: NodeJS.Timeout | undefined;

  add(dueMs: number, run: () => void): void {
    let place = this.#waiting.length;
    while (place > this.#head && this.#waiting[place - 1]!.dueMs > dueMs) place -= 1;
    this.#waiting.splice(place, 0, { dueMs, run });
    if (place === this.#head) this.#arm();
  }

  clear(): void {
    clearTimeout(this.#timer);
    this.#waiting.length = 0;
    this.#head = 0;
  }

  #arm(): void {
    clearTimeout(this.#timer);
    const next = this.#waiting[this.#head];
    if (next === undefined) {
      this.clear();
      return;
    }
    this.#timer = setTimeout(() => this.#flush(), Math.max(0, next.dueMs - performance.now()));
  }

  #flush(): void {
    const untilMs = performance.now() + EARLY_MS;
    for (let next = this.#waiting[this.#head]; next !== undefined && next.dueMs <= untilMs; ) {
      this.#head += 1;
      next.run();
      next = this.#waiting[this.#head];
    }
    if (this.#head > DONE_MAX) this.#waiting.splice(0, this.#head);
    if (this.#head > DONE_MAX) this.#head = 0;
    this.#arm();
  }
}
