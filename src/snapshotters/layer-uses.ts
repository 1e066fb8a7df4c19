import type { Digest } from "../bytes/index.js";
import type { LayerEngine } from "../layer/index.js";

/**
 * Keeps a layer in the engine from being removed while somebody is about to refer to it, and whoever wants to refer
 * to it from doing so while it is being removed.
 */
export class LayerUses {
  readonly #engine: LayerEngine;
  readonly #holds = new Map<Digest, number>();
  readonly #removals = new Map<Digest, Promise<void>>();

  constructor(engine: LayerEngine) {
    this.#engine = engine;
  }

  /** Until disposed, the layer stays. Waits for a removal that has begun. */
  async hold(digest: Digest): Promise<Disposable> {
    for (let removal = this.#removals.get(digest); removal !== undefined; ) {
      await removal.catch(() => undefined); // Whoever removes it tells of a failure.
      removal = this.#removals.get(digest);
    }
    this.#holds.set(digest, (this.#holds.get(digest) ?? 0) + 1);
    return {
      [Symbol.dispose]: () => {
        const left = this.#holds.get(digest)! - 1;
        if (left === 0) this.#holds.delete(digest);
        else this.#holds.set(digest, left);
      },
    };
  }

  isHeld(digest: Digest): boolean {
    return this.#holds.has(digest);
  }

  /** Removes a layer that nobody holds and no row refers to: checked in the same turn that the removal begins. */
  async remove(digest: Digest, isReferenced: () => boolean): Promise<void> {
    if (this.#holds.has(digest) || this.#removals.has(digest) || isReferenced()) return;
    const removal = this.#engine.remove(digest);
    this.#removals.set(digest, removal);
    try {
      await removal;
    } finally {
      this.#removals.delete(digest);
    }
  }
}
