import type { TransferPriority } from "./events.js";
import type { RequestPlan } from "./plan-request.js";
import type { Space } from "./space-contract.js";
import type { UnitLedger } from "./unit-ledger.js";

export interface LayerRoomOptions {
  readonly ledger: UnitLedger;
  /** undefined: there is room without end. */
  readonly space?: Space | undefined;
  readonly wake: () => void;
  /** The disk is full, and nothing could be given up for a unit that is waited for. */
  readonly onNoRoom: (unit: number) => void;
}

/** Whether there is room on the disk for what one layer's requests bring. */
export class LayerRoom {
  readonly #options: LayerRoomOptions;
  /** Units that found the disk full once, and are asked for again. Bounded by the units that readers wait for. */
  readonly #retried = new Set<number>();
  #waiting: number[] = [];
  #isMakingRoom = false;

  constructor(options: LayerRoomOptions) {
    this.#options = options;
  }

  admits(plan: RequestPlan, priority: TransferPriority): boolean {
    const { space } = this.#options;
    return space === undefined || space.admits(this.#bytesOf(plan), priority);
  }

  /** Of a request for readers as much as there is room for; undefined: they wait. */
  fitting<Request extends { readonly plan: RequestPlan }>(
    wide: Request,
    narrow: () => Request,
  ): Request | undefined {
    const { space } = this.#options;
    if (space === undefined) return wide;
    if (this.#isMakingRoom) return undefined;
    // What nobody waits for yet must not push others out.
    const fits = this.#bytesOf(wide.plan) <= space.roomFor("prefetch");
    const request = fits ? wide : narrow();
    return this.admits(request.plan, "demand") ? request : undefined;
  }

  /** A unit that a reader waits for found the disk full. True: it is worth asking for it again. */
  mayRetry(unit: number): boolean {
    const { space, ledger } = this.#options;
    if (space === undefined || this.#retried.delete(unit)) return false;
    this.#retried.add(unit);
    this.#waiting.push(unit);
    if (!this.#isMakingRoom) {
      this.#isMakingRoom = true;
      void this.#makeRoom(space, ledger.units.dataLength(unit));
    }
    return true;
  }

  stored(unit: number): void {
    this.#retried.delete(unit);
  }

  async #makeRoom(space: Space, bytes: number): Promise<void> {
    const { onNoRoom, wake } = this.#options;
    const hasRoom = await space.makeRoom(bytes).catch(() => false);
    const waiting = this.#waiting;
    this.#waiting = [];
    this.#isMakingRoom = false;
    if (!hasRoom) {
      for (const unit of waiting) {
        this.#retried.delete(unit);
        onNoRoom(unit);
      }
    }
    wake();
  }

  #bytesOf({ firstUnit, lastUnit }: RequestPlan): number {
    return this.#options.ledger.missingBytes(firstUnit, lastUnit);
  }
}
