/** Time as the scheduler sees it; tests put their own in place. */
export interface Clock {
  /** Milliseconds of a clock that never goes back. */
  now(): number;
  /** Calls `run` once, when `now` has gone on by `milliseconds` and not before. Does not keep the process alive. */
  after(milliseconds: number, run: () => void): Timer;
}

export interface Timer {
  cancel(): void;
}

export const systemClock: Clock = {
  now: () => performance.now(),
  after: (milliseconds, run) => {
    const due = performance.now() + milliseconds;
    let timer: NodeJS.Timeout;
    // Node's timers have whole milliseconds and may fire a part of one early.
    const wait = (): void => {
      const restMs = due - performance.now();
      timer = setTimeout(restMs > 0 ? wait : run, Math.max(0, Math.ceil(restMs)));
      timer.unref();
    };
    wait();
    return { cancel: () => clearTimeout(timer) };
  },
};
