import { statfs } from "node:fs/promises";
import { log } from "../observe/index.js";
import type { Clock, Timer } from "./clock.js";
import { evictedChannel, type TransferPriority } from "./events.js";
import { chooseGroups, EVICT_RANK_LAST, evictRank, evictRanks, isPinnedBy } from "./evict-order.js";
import { EVICT_FULL_DISK_BYTES, FULL_DISK_PAUSE_MS, FUTILE_MS, MEASURE_MS } from "./limits.js";
import type { Space, SpaceBudgetFacts, SpaceFigures, SpaceUser } from "./space-contract.js";

export interface SpaceBudgetOptions extends SpaceBudgetFacts {
  readonly clock: Clock;
  /** The bytes of `limit`; Infinity: none. */
  readonly limitBytes: number;
  /** Numbers of the layers that containers have mounted now. */
  readonly inUse: () => Promise<ReadonlySet<number>>;
  /** Room may have come. */
  readonly wake: () => void;
}

/** @throws as statfs(2) */
export async function limitBytesOf(limit: SpaceBudgetFacts["limit"], root: string): Promise<number> {
  if (limit === undefined) return Number.POSITIVE_INFINITY;
  if ("bytes" in limit) return limit.bytes;
  const { blocks, bsize } = await statfs(root);
  return Math.floor((blocks * bsize * limit.percent) / 100);
}

/**
 * Keeps the blocks of all layers' files below a limit. Before a request starts that stores units there is room for them
 * and it is theirs; above the high water the units that were not used for longest go, down to the low one. Bytes that
 * nobody waits for may not push others out: prefetches end at the high water, the background at the low one, so that what
 * it brings is not what is given up next.
 */
export class SpaceBudget implements Space {
  readonly #options: SpaceBudgetOptions;
  readonly #used = new Map<SpaceUser, number>();
  #usedBytes = 0;
  #reservedBytes = 0;
  /** The largest request that was refused since the last round. */
  #wantedBytes = 0;
  #evicting: Promise<number> | undefined;
  /** Until then nothing can be given up, and readers are let beyond the limit. */
  #futileUntil = Number.NEGATIVE_INFINITY;
  /** Until then the disk counts as full. */
  #fullUntil = Number.NEGATIVE_INFINITY;
  #evictedBytes = 0;
  #rounds = 0;
  #overdrafts = 0;
  #measuring: Timer | undefined;
  #isClosed = false;

  constructor(options: SpaceBudgetOptions) {
    this.#options = options;
    this.#measureLater();
  }

  get figures(): SpaceFigures {
    const { limitBytes } = this.#options;
    const isLimited = Number.isFinite(limitBytes);
    return {
      limitBytes: isLimited ? limitBytes : 0,
      highBytes: isLimited ? this.#highBytes : 0,
      lowBytes: isLimited ? this.#lowBytes : 0,
      usedBytes: this.#usedBytes,
      reservedBytes: this.#reservedBytes,
      evictedBytes: this.#evictedBytes,
      evictionRounds: this.#rounds,
      overdrafts: this.#overdrafts,
    };
  }

  /**
   * Whether a complete layer may be mounted on its data file: then its units can't be given up while somebody uses that
   * mount. Only while everything that the layers could ever hold fits, and for those that are given up last anyway.
   */
  mayBeLocal(user: SpaceUser): boolean {
    if (!Number.isFinite(this.#options.limitBytes)) return true;
    let mostBytes = 0;
    for (const one of this.#used.keys()) mostBytes += one.dataBytes;
    return mostBytes <= this.#lowBytes || isPinnedBy(this.#options.pinned, user);
  }

  add(user: SpaceUser): void {
    this.#used.set(user, 0);
    this.touched(user);
    void this.#measure(user);
  }

  remove(user: SpaceUser): void {
    this.#usedBytes -= this.#used.get(user) ?? 0;
    this.#used.delete(user);
    this.#roomCame();
  }

  /** The layer holds more bytes now, or fewer. */
  touched(user: SpaceUser): void {
    const before = this.#used.get(user);
    if (before === undefined) return;
    const bytes = user.usedBytes();
    this.#used.set(user, bytes);
    this.#usedBytes += bytes - before;
    if (this.#usedBytes > this.#options.limitBytes) this.#evictSoon();
  }

  roomFor(priority: TransferPriority): number {
    const { limitBytes, clock } = this.#options;
    if (priority !== "demand" && clock.now() < this.#fullUntil) return 0;
    const most =
      priority === "demand" ? limitBytes : priority === "prefetch" ? this.#highBytes : this.#lowBytes;
    return Math.max(0, most - this.#usedBytes - this.#reservedBytes);
  }

  admits(bytes: number, priority: TransferPriority): boolean {
    if (bytes <= this.roomFor(priority)) {
      if (this.#usedBytes + this.#reservedBytes + bytes > this.#highBytes) this.#evictSoon();
      return true;
    }
    if (priority !== "demand") return false;
    if (this.#options.clock.now() < this.#futileUntil) {
      this.#overdrafts += 1;
      return true;
    }
    this.#wantedBytes = Math.max(this.#wantedBytes, bytes);
    this.#evictSoon();
    return false;
  }

  reserve(delta: number): void {
    this.#reservedBytes += delta;
  }

  async makeRoom(bytes: number): Promise<boolean> {
    this.#fullUntil = this.#options.clock.now() + FULL_DISK_PAUSE_MS;
    // What goes on now may have begun before the disk was full.
    await this.#evicting;
    this.#evicting = this.#evict(Math.max(bytes, EVICT_FULL_DISK_BYTES)).finally(() => {
      this.#evicting = undefined;
    });
    return (await this.#evicting) > 0;
  }

  /** Makes room for a layer that comes as a whole. False: it would not fit into an empty budget. */
  async makeRoomForWhole(bytes: number): Promise<boolean> {
    const { limitBytes } = this.#options;
    if (bytes > limitBytes) return false;
    const excess = this.#usedBytes + this.#reservedBytes + bytes - limitBytes;
    if (excess > 0) await this.makeRoom(excess);
    return true;
  }

  close(): void {
    this.#isClosed = true;
    this.#measuring?.cancel();
  }

  get #highBytes(): number {
    return this.#options.limitBytes * this.#options.highWater;
  }

  get #lowBytes(): number {
    return this.#options.limitBytes * this.#options.lowWater;
  }

  #evictSoon(): void {
    if (this.#evicting !== undefined || this.#isClosed) return;
    const { clock, limitBytes } = this.#options;
    if (clock.now() < this.#futileUntil) return;
    const taken = this.#usedBytes + this.#reservedBytes;
    const wanted = this.#wantedBytes;
    this.#wantedBytes = 0;
    const bytes = Math.max(taken - this.#lowBytes, taken + wanted - limitBytes);
    if (bytes <= 0) return;
    this.#evicting = this.#evict(bytes)
      .then((freed) => {
        if (freed === 0) this.#futileUntil = clock.now() + FUTILE_MS;
        return freed;
      })
      .finally(() => {
        this.#evicting = undefined;
        this.#roomCame();
      });
  }

  /** Gives up so many bytes, or what can be; returns how many. */
  async #evict(bytes: number): Promise<number> {
    this.#rounds += 1;
    const inUse = await this.#inUse();
    let freed = 0;
    for (let rank = 0; rank <= EVICT_RANK_LAST && freed < bytes; rank += 1) {
      const users = [...this.#used.keys()].filter((user) => this.#rankOf(user, inUse) === rank);
      // What is pinned goes only where there is no room for a reader else.
      const wanted = rank === evictRanks.pinned ? Math.min(bytes - freed, this.#excess) : bytes - freed;
      if (users.length === 0 || wanted <= 0) continue;
      for (const [user, ranges] of chooseGroups(users, wanted)) {
        const gone = await user.evict(ranges);
        this.touched(user);
        freed += gone;
        if (gone > 0) evictedChannel.publish({ digest: user.digest, bytes: gone });
      }
    }
    this.#evictedBytes += freed;
    return freed;
  }

  get #excess(): number {
    return this.#usedBytes + this.#reservedBytes + EVICT_FULL_DISK_BYTES - this.#options.limitBytes;
  }

  #rankOf(user: SpaceUser, inUse: ReadonlySet<number>): number {
    return evictRank(user, { inUse, isPinned: (one) => isPinnedBy(this.#options.pinned, one) });
  }

  async #inUse(): Promise<ReadonlySet<number>> {
    try {
      return await this.#options.inUse();
    } catch (thrown) {
      log.warn("Cannot tell which layers containers use; the ones not read for longest go", {
        error: String(thrown),
      });
      return new Set();
    }
  }

  #roomCame(): void {
    if (!this.#isClosed) this.#options.wake();
  }

  /** The files that grow without units being stored are looked at now and then. */
  #measureLater(): void {
    this.#measuring = this.#options.clock.after(MEASURE_MS, () => {
      void Promise.all([...this.#used.keys()].map((user) => this.#measure(user))).then(() => {
        if (!this.#isClosed) this.#measureLater();
      });
    });
  }

  async #measure(user: SpaceUser): Promise<void> {
    await user.measure();
    if (Number.isFinite(this.#options.limitBytes)) await user.sweep();
    this.touched(user);
  }
}
