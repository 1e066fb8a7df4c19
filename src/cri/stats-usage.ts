import { LazuliError } from "../errors/index.js";
import { log } from "../observe/index.js";
import type { Snapshotter, SnapshotUsage } from "../snapshotters/index.js";
import type { Nanoseconds } from "./contract.js";

/** A snapshotter whose room on the disk is told to kubelets. */
export interface MeasuredSnapshotter {
  readonly name: string;
  /** Where its files lie; clients look there how full the file system is. */
  readonly folder: string;
  /** Its snapshots in CRI's namespace. */
  readonly snapshotter: Pick<Snapshotter, "walk" | "usage">;
  /** Whether what a committed snapshot takes can change, as a lazy layer's files do. */
  readonly isLazy: boolean;
  /** What it has on the disk besides its snapshots. */
  readonly idle?: (() => Promise<SnapshotUsage>) | undefined;
}

export interface UsageAt {
  /** On disk at the time. */
  readonly bytes: number;
  readonly inodes: number;
  readonly at: Nanoseconds;
}

/** What all snapshots of one snapshotter take. */
export interface SnapshotterUsage {
  readonly all: UsageAt;
  /** Of these, the writable ones. */
  readonly writable: UsageAt;
}

interface Measured extends UsageAt {
  readonly isCommitted: boolean;
}

export interface SnapshotUsagesOptions {
  readonly snapshotters: readonly MeasuredSnapshotter[];
  readonly now: () => Nanoseconds;
}

/**
 * The room that snapshots took when they were last looked at. One look goes through them one after the other, and asks
 * about a committed snapshot only once, unless it is a lazy layer's. Holds as much as the snapshotters have snapshots.
 */
export class SnapshotUsages {
  readonly #options: SnapshotUsagesOptions;
  readonly #known = new Map<string, Map<string, Measured>>();
  readonly #idle = new Map<string, UsageAt>();

  constructor(options: SnapshotUsagesOptions) {
    this.#options = options;
  }

  get snapshotters(): readonly MeasuredSnapshotter[] {
    return this.#options.snapshotters;
  }

  /** Undefined before the first look that found it. */
  of(snapshotter: string, key: string): UsageAt | undefined {
    return this.#known.get(snapshotter)?.get(key);
  }

  totals(snapshotter: string): SnapshotterUsage {
    const known = [...(this.#known.get(snapshotter)?.values() ?? [])];
    const idle = this.#idle.get(snapshotter);
    const at = this.#options.now();
    return {
      all: sum(idle === undefined ? known : [...known, idle], at),
      writable: sum(
        known.filter(({ isCommitted }) => !isCommitted),
        at,
      ),
    };
  }

  /** Looks once. One snapshotter that fails keeps what was known of it. */
  async collect({ signal }: { readonly signal: AbortSignal }): Promise<void> {
    for (const one of this.#options.snapshotters) {
      try {
        this.#known.set(one.name, await this.#measure(one, signal));
        const idle = await one.idle?.();
        if (idle === undefined) continue;
        this.#idle.set(one.name, { bytes: idle.size, inodes: idle.inodes, at: this.#options.now() });
      } catch (thrown) {
        if (signal.aborted) return;
        log.warn("Cannot tell how much room snapshots take", {
          snapshotter: one.name,
          error: LazuliError.from(thrown).message,
        });
      }
    }
  }

  async #measure(one: MeasuredSnapshotter, signal: AbortSignal): Promise<Map<string, Measured>> {
    const { snapshotter, isLazy } = one;
    const before = this.#known.get(one.name);
    const fresh = new Map<string, Measured>();
    const infos = [];
    for await (const info of snapshotter.walk([])) infos.push(info);
    for (const { name, kind } of infos) {
      signal.throwIfAborted();
      const known = before?.get(name);
      const isCommitted = kind === "committed";
      if (known?.isCommitted === true && isCommitted && !isLazy) {
        fresh.set(name, known);
        continue;
      }
      const usage = await this.#usage(snapshotter, name, signal);
      if (usage === undefined) continue;
      fresh.set(name, { bytes: usage.size, inodes: usage.inodes, at: this.#options.now(), isCommitted });
    }
    return fresh;
  }

  async #usage(snapshotter: MeasuredSnapshotter["snapshotter"], name: string, signal: AbortSignal) {
    try {
      return await snapshotter.usage(name, { signal });
    } catch (thrown) {
      signal.throwIfAborted();
      const { code, message } = LazuliError.from(thrown);
      // Removed since the walk.
      if (code !== "NOT_FOUND")
        log.debug("Cannot tell how much room a snapshot takes", { name, error: message });
      return undefined;
    }
  }
}

/** With the oldest time of the parts; `at` where there are none. */
function sum(parts: readonly UsageAt[], at: Nanoseconds): UsageAt {
  let total = { bytes: 0, inodes: 0, at };
  for (const part of parts) {
    const isOlder = part.at < total.at;
    total = {
      bytes: total.bytes + part.bytes,
      inodes: total.inodes + part.inodes,
      at: isOlder ? part.at : total.at,
    };
  }
  return total;
}
