import { type LinkedSignal, linkSignals, withSignal } from "../async/index.js";
import type { Digest } from "../bytes/index.js";
import { LazuliError } from "../errors/index.js";
import type { LayerEngine, LayerRequest } from "../layer/index.js";
import {
  type SnapshotFallback,
  type SnapshotOrigin,
  type SnapshotRow,
  type SnapshotTable,
  targetTaken,
} from "../metadata/index.js";
import { log } from "../observe/index.js";
import type { CreateSnapshot } from "./contract.js";
import { fallbackChannel, preparedChannel } from "./events.js";
import { labelNames, REMOTE_LABEL_VALUE } from "./labels.js";
import type { LayerUses } from "./layer-uses.js";
import { mayBecomeWhole } from "./may-become-whole.js";
import type { NeighbourLayers } from "./neighbour-layers.js";
import type { LayerResolver } from "./resolver.js";

export interface RemoteLayersOptions {
  readonly engine: LayerEngine;
  readonly resolver: LayerResolver;
  readonly table: SnapshotTable;
  readonly uses: LayerUses;
  readonly neighbours: NeighbourLayers;
  /** Longest time for one attempt, finding out and making ready together. */
  readonly resolveTimeoutMs: number;
  /** Longest time for making a layer ready whose blob may be fetched whole. */
  readonly pullTimeoutMs: number;
}

export type RemoteAttempt =
  | { readonly kind: "prepared" }
  | {
      readonly kind: "fallback";
      readonly fallback: SnapshotFallback;
      readonly origin: SnapshotOrigin | undefined;
    };

/** Answers a Prepare that names its target: as a lazy layer if that can be had in time, else with the reason. */
export class RemoteLayers {
  readonly #options: RemoteLayersOptions;

  constructor(options: RemoteLayersOptions) {
    this.#options = options;
  }

  /** @throws CANCELED when the client left; and when the row can't be written */
  async attempt(snapshot: CreateSnapshot, target: string): Promise<RemoteAttempt> {
    const { resolveTimeoutMs, pullTimeoutMs } = this.#options;
    using deadline = linkSignals([snapshot.signal], resolveTimeoutMs);
    using pullDeadline = linkSignals([snapshot.signal], pullTimeoutMs);
    let origin: SnapshotOrigin | undefined;
    const learn = (known: SnapshotOrigin): void => {
      origin = known;
    };
    let commit: () => Promise<SnapshotRow>;
    let isPull = false;
    using held = new HeldLayer(this.#options.uses);
    try {
      const request = await this.#resolve(snapshot, target, deadline, learn);
      await held.take(request);
      isPull = mayPullWhole(request);
      const { signal } = isPull ? pullDeadline : deadline;
      await withSignal(this.#options.engine.ensure(request, { signal }), signal);
      const manifest = origin?.manifest;
      commit = async () => await this.#commit(snapshot, target, { request, manifest });
    } catch (thrown) {
      snapshot.signal?.throwIfAborted();
      return this.#fallBack(snapshot.key, thrown, {
        origin,
        isTimeout: (isPull ? pullDeadline : deadline).signal.aborted,
      });
    }
    try {
      const row = await commit();
      return this.#prepared(snapshot.key, row);
    } catch (thrown) {
      // A race that the table decides; anything else would hit the ordinary way just as well.
      if (LazuliError.from(thrown).reason !== "target-of-another-layer") throw thrown;
      return this.#fallBack(snapshot.key, thrown, { origin, isTimeout: false });
    }
  }

  async #resolve(
    snapshot: CreateSnapshot,
    target: string,
    { signal }: LinkedSignal,
    learn: (known: SnapshotOrigin) => void,
  ): Promise<LayerRequest> {
    const { key, labels, parent } = snapshot;
    const { resolver, table, neighbours } = this.#options;
    const resolution = await withSignal(resolver.resolve({ key, target, labels, signal }), signal);
    if (resolution.kind === "unknown") {
      const { known, reason, message, hint } = resolution;
      learn(known);
      throw new LazuliError("FAILED_PRECONDITION", message, {
        reason,
        ...(hint === undefined ? {} : { hint }),
      });
    }
    const { request, manifest } = resolution;
    learn({ reference: request.origin.reference, digest: request.digest, manifest });
    const present = table.findRemote(target, parent);
    if (present !== undefined && present.layerDigest !== request.digest) throw targetTaken(target);
    neighbours.start(resolution.neighbours);
    return request;
  }

  async #commit(
    snapshot: CreateSnapshot,
    target: string,
    { request, manifest }: { readonly request: LayerRequest; readonly manifest: Digest | undefined },
  ): Promise<SnapshotRow> {
    const { key, parent, labels } = snapshot;
    return await this.#options.table.createLazy({
      key,
      target,
      parent,
      labels: { ...labels, [labelNames.remote]: REMOTE_LABEL_VALUE },
      layerDigest: request.digest,
      origin: {
        reference: request.origin.reference,
        digest: request.digest,
        ...(manifest !== undefined && { manifest }),
      },
    });
  }

  #prepared(key: string, row: SnapshotRow): RemoteAttempt {
    log.info("Prepared a layer lazily", {
      "remote-snapshot-prepared": "true",
      key,
      snapshot: row.name,
      digest: row.layerDigest,
    });
    preparedChannel.publish({ key, digest: row.layerDigest ?? "" });
    return { kind: "prepared" };
  }

  #fallBack(
    key: string,
    thrown: unknown,
    facts: { origin: SnapshotOrigin | undefined; isTimeout: boolean },
  ): RemoteAttempt {
    const error = LazuliError.from(thrown);
    const { message, hint } = error;
    const reason = facts.isTimeout
      ? "resolve-timeout"
      : (error.reason ?? error.code.toLowerCase().replaceAll("_", "-"));
    log.info("Left a layer to the client", {
      "remote-snapshot-prepared": "false",
      key,
      reason,
      error: message,
      digest: facts.origin?.digest,
      reference: facts.origin?.reference,
    });
    fallbackChannel.publish({ key, reason });
    return { kind: "fallback", fallback: { reason, message, hint }, origin: facts.origin };
  }
}

function mayPullWhole({ index }: LayerRequest): boolean {
  return index !== undefined && mayBecomeWhole(index);
}

/** A hold on a layer that is taken once its digest is known. */
class HeldLayer implements Disposable {
  readonly #uses: LayerUses;
  #hold: Disposable | undefined;

  constructor(uses: LayerUses) {
    this.#uses = uses;
  }

  async take(request: LayerRequest): Promise<void> {
    this.#hold = await this.#uses.hold(request.digest);
  }

  [Symbol.dispose](): void {
    this.#hold?.[Symbol.dispose]();
  }
}
