import { withSignal } from "./signals.js";

/**
 * Shares the same work among all who ask for it while it runs. One waiter that leaves does not cancel the others;
 * the work itself is cancelled when nobody waits any more.
 */
export class SingleFlight<Key, Value> {
  readonly #flights = new Map<
    Key,
    { promise: Promise<Value>; waiters: number; controller: AbortController }
  >();

  get size(): number {
    return this.#flights.size;
  }

  async run(key: Key, work: (signal: AbortSignal) => Promise<Value>, signal?: AbortSignal): Promise<Value> {
    signal?.throwIfAborted();
    let flight = this.#flights.get(key);
    if (flight === undefined) {
      const controller = new AbortController();
      const promise = work(controller.signal).finally(() => {
        if (this.#flights.get(key)?.controller === controller) this.#flights.delete(key);
      });
      // Every waiter may have left by the time it fails; each waiter that stayed still sees the error.
      promise.catch(() => undefined);
      flight = { promise, waiters: 0, controller };
      this.#flights.set(key, flight);
    }
    flight.waiters += 1;
    try {
      return await withSignal(flight.promise, signal);
    } finally {
      flight.waiters -= 1;
      if (flight.waiters === 0 && this.#flights.get(key) === flight) {
        this.#flights.delete(key);
        flight.controller.abort(new DOMException("Nobody waits for it any more", "AbortError"));
      }
    }
  }
}
