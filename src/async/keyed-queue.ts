/** Runs the work of one key one after the other; different keys do not wait for each other. */
export class KeyedQueue<Key> {
  readonly #tails = new Map<Key, Promise<unknown>>();

  async run<Value>(key: Key, work: () => Promise<Value>): Promise<Value> {
    const before = this.#tails.get(key);
    const own = (async () => {
      // What came before reports its own failure to whoever asked for it.
      await before?.catch(() => undefined);
      return await work();
    })();
    this.#tails.set(key, own);
    try {
      return await own;
    } finally {
      if (this.#tails.get(key) === own) this.#tails.delete(key);
    }
  }
}
