/** Work on one tree, one piece after the other: a commit must not meet its tree half deleted. */
export class TreeTurns {
  readonly #tails = new Map<number, Promise<unknown>>();

  async run<Value>(id: number, work: () => Promise<Value>): Promise<Value> {
    const before = this.#tails.get(id);
    const own = (async () => {
      // What came before told its own failure to whoever asked for it.
      await before?.catch(() => undefined);
      return await work();
    })();
    this.#tails.set(id, own);
    try {
      return await own;
    } finally {
      if (this.#tails.get(id) === own) this.#tails.delete(id);
    }
  }
}
