import { log } from "../observe/index.js";
import type { Clock } from "./clock.js";
import { failedChannel } from "./events.js";
import { FAILED_READS_LOG_MS } from "./limits.js";

export type ReadFailureReason =
  | "demand-deadline"
  | "source-corrupt"
  | "disk-failed"
  | "layer-closed"
  | "waiting-reads-full"
  | "plane-failed";

export interface ReadFailure {
  readonly reason: ReadFailureReason;
  /** Reads that got EIO. */
  readonly reads: number;
  /** Units that they waited for; undefined where nobody knows. */
  readonly units: { readonly first: number; readonly last: number } | undefined;
  /** For people. */
  readonly error: string;
}

/**
 * Says why reads of one layer got EIO: in the log, at most one line a reason in FAILED_READS_LOG_MS with the count of the
 * reads that had none, and to metrics.
 */
export class ReadFailures {
  readonly #digest: string;
  readonly #clock: Clock;
  readonly #lines = new Map<ReadFailureReason, { readonly at: number; readsSince: number }>();

  constructor(options: { readonly digest: string; readonly clock: Clock }) {
    this.#digest = options.digest;
    this.#clock = options.clock;
  }

  report({ reason, reads, units, error }: ReadFailure): void {
    failedChannel.publish({ digest: this.#digest, reads, reason });
    const now = this.#clock.now();
    const line = this.#lines.get(reason);
    if (line !== undefined && now < line.at + FAILED_READS_LOG_MS) {
      line.readsSince += reads;
      return;
    }
    this.#lines.set(reason, { at: now, readsSince: 0 });
    log.warn("Reads of a layer got an input/output error", {
      digest: this.#digest,
      reason,
      reads,
      units: units === undefined ? undefined : `${units.first}-${units.last}`,
      error,
      readsWithoutLine: line?.readsSince ?? 0,
    });
  }
}
