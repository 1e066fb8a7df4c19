import pLimit from "p-limit";
import { linkSignals, withSignal } from "../async/index.js";
import type { Digest } from "../bytes/index.js";
import { failedPrecondition, LazuliError, notFound, unavailable } from "../errors/index.js";
import type { LayerEngine, LayerOwner } from "../layer/index.js";
import type { SnapshotRow } from "../metadata/index.js";
import { log } from "../observe/index.js";
import type { LayerUses } from "./layer-uses.js";
import type { MountedLayers } from "./overlay-storage.js";
import type { LayerResolver } from "./resolver.js";
import type { StorageOptions } from "./storage.js";

/** Layers that are made again at once; others wait for their turn, at most as many as snapshots stand on. */
const AT_ONCE_MAX = 4;
/** Snapshots of one layer whose labels are tried, one after the other; what is wrong with the last one is told. */
const ROWS_MAX = 8;

export interface MendedLayersOptions {
  readonly engine: LayerEngine;
  readonly resolver: LayerResolver;
  readonly uses: LayerUses;
  readonly rows: () => readonly SnapshotRow[];
  /** Longest time that a caller waits. */
  readonly waitMs: number;
  /** Longest time for making one layer again. */
  readonly makeMs: number;
}

/**
 * The engine's layers for the snapshots on them. One that the engine has left out, since its files are gone or damaged, is
 * made again from what its snapshot's labels tell. Who asked waits for it, but not for long; the work goes on without him.
 * One that fails is tried again when somebody asks again.
 */
export class MendedLayers implements MountedLayers {
  readonly #options: MendedLayersOptions;
  readonly #limit = pLimit(AT_ONCE_MAX);
  readonly #mending = new Map<Digest, Promise<void>>();
  readonly #ended = new AbortController();

  constructor(options: MendedLayersOptions) {
    this.#options = options;
  }

  /** @throws UNAVAILABLE `layer-being-mended`, `layer-not-mended`; as the engine */
  async mountPoint(digest: Digest, options: StorageOptions): Promise<string> {
    const { engine } = this.#options;
    return await this.#mended(digest, options, async () => await engine.mountPoint(digest, options));
  }

  /** @throws as mountPoint() */
  async rootOwner(digest: Digest, options: StorageOptions): Promise<LayerOwner> {
    const { engine } = this.#options;
    return await this.#mended(digest, options, async () => await engine.rootOwner(digest));
  }

  async close(): Promise<void> {
    this.#ended.abort(unavailable("The snapshotter is closed", { reason: "snapshotter-closed" }));
    await Promise.allSettled(this.#mending.values());
  }

  async #mended<Result>(
    digest: Digest,
    { signal }: StorageOptions,
    use: () => Promise<Result>,
  ): Promise<Result> {
    try {
      return await use();
    } catch (thrown) {
      if (this.#options.engine.has(digest) || this.#ended.signal.aborted) throw thrown;
      await this.#waitFor(digest, thrown, signal);
    }
    return await use();
  }

  async #waitFor(digest: Digest, why: unknown, signal: AbortSignal | undefined): Promise<void> {
    using waiting = linkSignals([signal], this.#options.waitMs);
    try {
      await withSignal(this.#mend(digest, why), waiting.signal);
    } catch (thrown) {
      signal?.throwIfAborted();
      throw waiting.signal.aborted ? beingMended(digest, why) : notMended(digest, thrown);
    }
  }

  #mend(digest: Digest, why: unknown): Promise<void> {
    const known = this.#mending.get(digest);
    if (known !== undefined) return known;
    const { message } = LazuliError.from(why);
    log.warn("Makes a layer again that snapshots stand on: it is lost or damaged", {
      digest,
      error: message,
    });
    const work = this.#limit(() => this.#makeFromRows(digest)).finally(() => this.#mending.delete(digest));
    this.#mending.set(digest, work);
    work.then(
      () => log.info("Made a lost or damaged layer again", { digest }),
      (thrown: unknown) => {
        const { code, message } = LazuliError.from(thrown);
        log.warn("Cannot make a lost or damaged layer again; the next user tries it", {
          digest,
          code,
          error: message,
        });
      },
    );
    return work;
  }

  async #makeFromRows(digest: Digest): Promise<void> {
    let failure: unknown = notFound(`Layer ${digest} has no snapshot`, { subject: digest });
    const rows = this.#options.rows().filter(({ layerDigest }) => layerDigest === digest);
    for (const row of rows.slice(0, ROWS_MAX)) {
      this.#ended.signal.throwIfAborted();
      try {
        await this.#make(digest, row);
        return;
      } catch (thrown) {
        failure = thrown;
      }
    }
    throw failure;
  }

  async #make(digest: Digest, { name, target, labels }: SnapshotRow): Promise<void> {
    const { engine, resolver, uses, makeMs } = this.#options;
    using deadline = linkSignals([this.#ended.signal], makeMs);
    const { signal } = deadline;
    const query = { key: name, target, labels, isNeeded: true, signal };
    const resolution = await withSignal(resolver.resolve(query), signal);
    if (resolution.kind === "unknown") {
      const { message, reason } = resolution;
      throw failedPrecondition(message, { subject: digest, reason });
    }
    const { request } = resolution;
    if (request.digest !== digest) {
      throw failedPrecondition(
        `Cannot use labels of ${name}: want those of layer ${digest}, got ${request.digest}`,
        {
          subject: digest,
          reason: "target-of-another-layer",
        },
      );
    }
    using _hold = await uses.hold(digest);
    await withSignal(engine.ensure(request, { signal }), signal);
  }
}

function beingMended(digest: Digest, cause: unknown): LazuliError {
  return unavailable(
    `Cannot use layer ${digest} yet: it was lost or damaged on the disk, and is being made again`,
    {
      subject: digest,
      reason: "layer-being-mended",
      hint: "Ask again: nothing else is to be done",
      cause,
    },
  );
}

function notMended(digest: Digest, cause: unknown): LazuliError {
  const { message } = LazuliError.from(cause);
  return unavailable(
    `Cannot use layer ${digest}: it was lost or damaged on the disk, and can't be made again now: ${message}`,
    {
      subject: digest,
      reason: "layer-not-mended",
      hint: "Each further use tries again. If the image is gone from its registry, remove it here and pull another one",
      cause,
    },
  );
}
