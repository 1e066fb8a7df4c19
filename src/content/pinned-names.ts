import { deferred } from "../async/index.js";

/**
 * Keeps a sweep from removing what somebody is about to write a row for. A pin waits for a removal of its name that
 * is under way, and no removal begins while a name is pinned. Holds one entry for each pin and removal of the moment.
 */
export class PinnedNames {
  readonly #pins = new Map<string, number>();
  readonly #removals = new Map<string, Promise<void>>();

  async pin(name: string): Promise<Disposable> {
    for (;;) {
      const removal = this.#removals.get(name);
      if (removal === undefined) break;
      await removal;
    }
    this.#pins.set(name, (this.#pins.get(name) ?? 0) + 1);
    let isHeld = true;
    return {
      [Symbol.dispose]: () => {
        if (!isHeld) return;
        isHeld = false;
        const left = this.#pins.get(name)! - 1;
        if (left === 0) this.#pins.delete(name);
        else this.#pins.set(name, left);
      },
    };
  }

  /** Runs a removal of something with these names, unless one of them is pinned. @returns what it returned, or false */
  async remove(names: readonly string[], removal: () => Promise<boolean>): Promise<boolean> {
    if (names.some((name) => this.#pins.has(name) || this.#removals.has(name))) return false;
    const ended = deferred<void>();
    for (const name of names) this.#removals.set(name, ended.promise);
    try {
      return await removal();
    } finally {
      for (const name of names) this.#removals.delete(name);
      ended.resolve();
    }
  }
}
