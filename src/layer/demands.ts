import type { Clock } from "./clock.js";
import { demandChannel } from "./events.js";
import type { UnitLedger } from "./unit-ledger.js";

/** A read that waits. Times in milliseconds of the clock. */
export interface Demand {
  readonly read: bigint;
  readonly first: number;
  readonly last: number;
  /** A replay was about to fetch it. */
  readonly isExpected: boolean;
  readonly since: number;
}

/** The reads of one layer that wait, oldest first. Bounded by the native plane (WAITING_READS_MAX). */
export class Demands {
  readonly #demands = new Map<bigint, Demand>();
  readonly #digest: string;
  readonly #ledger: UnitLedger;
  readonly #clock: Clock;
  readonly #onServed: ((waitedMs: number) => void) | undefined;

  constructor(options: {
    readonly digest: string;
    readonly ledger: UnitLedger;
    readonly clock: Clock;
    readonly onServed?: ((waitedMs: number) => void) | undefined;
  }) {
    this.#digest = options.digest;
    this.#ledger = options.ledger;
    this.#clock = options.clock;
    this.#onServed = options.onServed;
  }

  get size(): number {
    return this.#demands.size;
  }

  get oldest(): Demand | undefined {
    const [first] = this.#demands.values();
    return first;
  }

  [Symbol.iterator](): Iterator<Demand> {
    return this.#demands.values();
  }

  add(demand: Demand): void {
    this.#demands.set(demand.read, demand);
  }

  overlap(first: number, last: number): boolean {
    for (const demand of this.#demands.values()) {
      if (demand.first <= last && demand.last >= first) return true;
    }
    return false;
  }

  /** The first missing unit of this range that a read waits for. */
  firstMissing(first: number, last: number): number | undefined {
    let found: number | undefined;
    for (const demand of this.#demands.values()) {
      const from = Math.max(first, demand.first);
      const to = Math.min(found ?? last, demand.last);
      if (from <= to) found = this.#ledger.firstMissing(from, to) ?? found;
    }
    return found;
  }

  /** Takes out a read whose process gave up. */
  interrupt(read: bigint): Demand | undefined {
    const demand = this.#demands.get(read);
    if (demand !== undefined) this.#leave(demand, "interrupted");
    return demand;
  }

  /** Units of this range became present: takes out the reads that have all they wait for. */
  settle(first: number, last: number): void {
    for (const demand of this.#demands.values()) {
      if (demand.first > last || demand.last < first) continue;
      if (this.#ledger.hasAll(demand.first, demand.last)) this.#leave(demand, "served");
    }
  }

  /** Takes out the reads that wait for a missing unit of this range. */
  fail(first: number, last: number): Demand[] {
    return this.#failAll((demand) => {
      const from = Math.max(first, demand.first);
      const to = Math.min(last, demand.last);
      return from <= to && !this.#ledger.hasAll(from, to);
    });
  }

  /** Takes out the reads that wait since this time or longer. */
  expire(since: number): Demand[] {
    return this.#failAll((demand) => demand.since <= since);
  }

  #failAll(isMeant: (demand: Demand) => boolean): Demand[] {
    const failed = [...this.#demands.values()].filter(isMeant);
    for (const demand of failed) this.#leave(demand, "failed");
    return failed;
  }

  #leave(demand: Demand, outcome: "served" | "failed" | "interrupted"): void {
    this.#demands.delete(demand.read);
    const waitedMs = this.#clock.now() - demand.since;
    demandChannel.publish({ digest: this.#digest, outcome, waitedMs });
    if (outcome === "served") this.#onServed?.(waitedMs);
  }
}
