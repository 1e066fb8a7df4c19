import type { Nanoseconds } from "./contract.js";

interface Sample {
  readonly usageNs: bigint;
  readonly at: Nanoseconds;
}

interface Known {
  /** What the next rate is counted from. */
  readonly base: Sample;
  readonly rate: bigint | undefined;
}

const SECOND_NS = 1_000_000_000n;
/** Two samples closer than this give the rate of before: the kernel's clock of usage is coarse. */
const INTERVAL_NS_MIN = SECOND_NS / 10n;
/** A base older than this is replaced, so that a rate is one of now. */
const INTERVAL_NS_MAX = 10n * SECOND_NS;

/** How many nanoseconds of CPU are used in a second, from the samples of one cgroup after the other. */
export class CpuRates {
  readonly #known = new Map<string, Known>();

  /** Takes a sample. @returns undefined with the first one, or when the cgroup is a new one */
  note(id: string, sample: Sample): bigint | undefined {
    const known = this.#known.get(id);
    const elapsed = known === undefined ? 0n : sample.at - known.base.at;
    if (known === undefined || sample.usageNs < known.base.usageNs || elapsed < 0n) {
      this.#known.set(id, { base: sample, rate: undefined });
      return undefined;
    }
    if (elapsed < INTERVAL_NS_MIN) return known.rate;
    const rate = ((sample.usageNs - known.base.usageNs) * SECOND_NS) / elapsed;
    this.#known.set(id, { base: elapsed < INTERVAL_NS_MAX ? known.base : sample, rate });
    return rate;
  }

  /** Forgets all but these. */
  keep(ids: ReadonlySet<string>): void {
    for (const id of this.#known.keys()) if (!ids.has(id)) this.#known.delete(id);
  }
}
