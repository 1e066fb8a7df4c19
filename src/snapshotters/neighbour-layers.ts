import pLimit from "p-limit";
import { LazuliError } from "../errors/index.js";
import type { LayerEngine, LayerRequest } from "../layer/index.js";
import { log } from "../observe/index.js";
import type { LayerUses } from "./layer-uses.js";

/** Neighbours that are made ready at once; beside them runs the one that a client waits for. */
const AT_ONCE_MAX = 4;
/** Neighbours that wait for their turn; beyond it they are left to their own Prepare. */
const WAITING_MAX = 256;
/** Layers and images that were tried once; the oldest is forgotten, and may be tried again. */
const TRIED_MAX = 1024;

/**
 * Clients ask for the layers of an image one after the other. With the first question the rest begins in the
 * background, so that each later one finds its layer there. Best effort: a failure is told by the layer's own Prepare.
 */
export class NeighbourLayers {
  readonly #engine: LayerEngine;
  readonly #uses: LayerUses;
  readonly #limit = pLimit(AT_ONCE_MAX);
  readonly #tried = new Set<string>();
  readonly #ended = new AbortController();
  readonly #running = new Set<Promise<void>>();

  constructor(options: { engine: LayerEngine; uses: LayerUses }) {
    this.#engine = options.engine;
    this.#uses = options.uses;
  }

  start(neighbours: readonly LayerRequest[]): void {
    for (const request of neighbours) {
      if (this.#ended.signal.aborted || this.#limit.pendingCount >= WAITING_MAX) return;
      if (this.#engine.has(request.digest)) continue;
      // Without an index a layer can't be ensured yet; opening one blob of its image readies host and token.
      const subject = request.index === undefined ? request.origin.reference : request.digest;
      if (this.#tried.has(subject)) continue;
      this.#remember(subject);
      const work = this.#limit(() => this.#work(request)).finally(() => this.#running.delete(work));
      this.#running.add(work);
    }
  }

  async close(): Promise<void> {
    this.#ended.abort(new DOMException("The snapshotter is closed", "AbortError"));
    await Promise.all(this.#running);
  }

  async #work(request: LayerRequest): Promise<void> {
    const { signal } = this.#ended;
    if (signal.aborted) return;
    try {
      if (request.index === undefined) {
        await request.openSource({ signal });
        return;
      }
      using _hold = await this.#uses.hold(request.digest);
      await this.#engine.ensure(request, { signal });
    } catch (thrown) {
      const { code, message } = LazuliError.from(thrown);
      log.debug("Cannot ready a layer ahead of its turn", { digest: request.digest, code, error: message });
    }
  }

  #remember(subject: string): void {
    for (const oldest of this.#tried) {
      if (this.#tried.size < TRIED_MAX) break;
      this.#tried.delete(oldest);
    }
    this.#tried.add(subject);
  }
}
