import type { Digest } from "../bytes/index.js";
import { LazuliError } from "../errors/index.js";
import type { LayerEngine } from "../layer/index.js";
import type { SnapshotTable } from "../metadata/index.js";
import { log } from "../observe/index.js";
import type { LayerUses } from "./layer-uses.js";

export interface LayerSweeperOptions {
  readonly engine: LayerEngine;
  readonly table: SnapshotTable;
  readonly uses: LayerUses;
  /** A layer is removed when no snapshot has referred to it for this long. */
  readonly graceMs: number;
}

/** Removes layers from the engine that no snapshot refers to any more. */
export class LayerSweeper {
  readonly #options: LayerSweeperOptions;
  /** When each idle layer was first seen without a snapshot. */
  readonly #idleSince = new Map<Digest, number>();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: LayerSweeperOptions) {
    this.#options = options;
  }

  /** A snapshot of this layer went: what the engine has left out has files that no list shows. */
  async forget(digest: Digest): Promise<void> {
    if (!this.#options.engine.has(digest)) await this.#remove(digest);
  }

  /** Removes what has been idle long enough, and comes back by itself for the rest. */
  async sweep(): Promise<void> {
    const { engine, uses, graceMs } = this.#options;
    const referenced = this.#referenced();
    const now = performance.now();
    const digests = engine.list().map((layer) => layer.digest);
    const idle = new Set(digests.filter((digest) => !referenced.has(digest) && !uses.isHeld(digest)));
    for (const digest of this.#idleSince.keys()) if (!idle.has(digest)) this.#idleSince.delete(digest);
    for (const digest of idle) {
      if (!this.#idleSince.has(digest)) this.#idleSince.set(digest, now);
      if (now - this.#idleSince.get(digest)! < graceMs) continue;
      if (await this.#remove(digest)) this.#idleSince.delete(digest);
    }
    this.#comeBack();
  }

  async #remove(digest: Digest): Promise<boolean> {
    const { table, uses } = this.#options;
    try {
      await uses.remove(digest, () => table.rows().some((row) => row.layerDigest === digest));
      return true;
    } catch (thrown) {
      const { code, message } = LazuliError.from(thrown);
      log.warn("Cannot remove an unused layer", { digest, code, error: message });
      return false;
    }
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#idleSince.clear();
  }

  #referenced(): Set<Digest> {
    const digests = this.#options.table.rows().map((row) => row.layerDigest);
    return new Set(digests.filter((digest) => digest !== undefined));
  }

  #comeBack(): void {
    if (this.#idleSince.size === 0 || this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.sweep().catch((thrown: unknown) => {
        log.warn("Cannot look for unused layers", { error: LazuliError.from(thrown).message });
      });
    }, this.#options.graceMs + 1);
    this.#timer.unref();
  }
}
