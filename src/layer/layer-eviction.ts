import { lstat } from "node:fs/promises";
import type { Digest } from "../bytes/index.js";
import { LazuliError } from "../errors/index.js";
import { type NativePlane, unitOutcomes, useGroupBytes } from "../fuse/index.js";
import { log } from "../observe/index.js";
import type { BitmapWriter } from "./bitmap-writer.js";
import { folderUsage, type LayerFiles } from "./layer-folder.js";
import type { LayerMounts } from "./layer-mounts.js";
import type { UnitRange } from "./layer-record.js";
import type { SpaceGroup, SpaceUser } from "./space-contract.js";
import type { UnitLedger } from "./unit-ledger.js";
import type { WindowChecks } from "./window-checks.js";

export interface LayerEvictionOptions {
  readonly files: LayerFiles;
  readonly plane: Pick<NativePlane, "evict" | "punch" | "lastUses" | "bytesOnDisk" | "isDataShared">;
  readonly mounts: Pick<LayerMounts, "canBeLocal" | "hasLocal" | "leaveLocalData">;
  readonly ledger: UnitLedger;
  readonly writer: Pick<BitmapWriter, "clear">;
  readonly windows: Pick<WindowChecks, "pause" | "resume"> | undefined;
  /** Whether a reader waits for a unit of the range. */
  readonly isAwaited: (first: number, last: number) => boolean;
  /** Whether the data file is being read as a whole, or the layer goes. */
  readonly isBusy: () => boolean;
  /** So many units are missing now. `hasForgotten`: the bitmap lost others too. */
  readonly onEvicted: (units: number) => void;
  readonly onForgotten: () => void;
}

/**
 * Gives up units of one layer. In this order: a unit becomes missing for readers; its bit leaves the bitmap on disk; its
 * bytes become a hole. So a bit never stands over a hole, whenever the process ends.
 */
export class LayerEviction implements SpaceUser {
  readonly number: number;
  readonly digest: Digest;
  readonly reference: string;
  readonly isCostly: boolean;
  readonly dataBytes: number;
  readonly #options: LayerEvictionOptions;
  #otherBytes = 0;
  #isSwept = false;

  constructor(options: LayerEvictionOptions) {
    const { record } = options.files;
    this.#options = options;
    this.number = record.number;
    this.digest = record.digest;
    this.dataBytes = options.ledger.dataBytes;
    this.reference = record.origin.reference;
    // One unit of it costs the whole blob, and perhaps a key that is gone.
    this.isCostly = record.isDecoded || record.processing !== undefined;
  }

  usedBytes(): number {
    return this.#dataBytes() + this.#otherBytes;
  }

  async measure(): Promise<void> {
    const { paths } = this.#options.files;
    try {
      const { blocks } = await lstat(paths.data);
      const { bytes } = await folderUsage(paths.folder);
      this.#otherBytes = Math.max(0, bytes - blocks * 512);
    } catch {
      // The folder is being deleted.
    }
  }

  groups(): readonly SpaceGroup[] {
    const { ledger, plane, isBusy } = this.#options;
    const { units } = ledger;
    if (ledger.presentCount === 0 || isBusy()) return [];
    const lastUses = plane.lastUses(this.number);
    const groups: SpaceGroup[] = [];
    for (let first = 0; first < units.count; ) {
      const group = Math.floor(units.dataOffset(first) / useGroupBytes);
      let bytes = 0;
      let last = first;
      for (let unit = first; unit < units.count; unit += 1) {
        if (Math.floor(units.dataOffset(unit) / useGroupBytes) !== group) break;
        if (ledger.isPresent(unit)) bytes += units.dataLength(unit);
        last = unit;
      }
      if (bytes > 0) groups.push({ first, last, bytes, lastUse: lastUses[group] ?? 0 });
      first = last + 1;
    }
    return groups;
  }

  async evict(ranges: readonly UnitRange[]): Promise<number> {
    const { windows, onEvicted, ledger } = this.#options;
    if (!(await this.#leaveLocal())) return 0;
    await windows?.pause();
    let gone: readonly number[] = [];
    try {
      gone = this.#makeMissing(ranges);
    } catch {
      // The layer is being removed: all of it goes.
    } finally {
      windows?.resume();
    }
    if (gone.length === 0) return 0;
    onEvicted(gone.length);
    const freed = gone.reduce((sum, unit) => sum + ledger.units.dataLength(unit), 0);
    return (await this.#freeDisk(gone)) ? freed : 0;
  }

  async sweep(): Promise<void> {
    const { plane, ledger } = this.#options;
    const last = ledger.units.count - 1;
    if (this.#isSwept || last < 0) return;
    try {
      // An earlier process may still serve it.
      if (!ledger.isComplete && this.#isShared()) return;
      this.#isSwept = true;
      if (!ledger.isComplete) await plane.punch(this.number, 0, last);
    } catch {
      // The layer is being removed: there is nothing to give back.
    }
  }

  #dataBytes(): number {
    try {
      return this.#options.plane.bytesOnDisk(this.number);
    } catch {
      // The plane does not have the layer any more.
      return 0;
    }
  }

  /** Nobody new reads the data file past the plane; false where somebody does, or may soon. */
  async #leaveLocal(): Promise<boolean> {
    const { mounts, isBusy } = this.#options;
    if (isBusy()) return false;
    if (!mounts.hasLocal) return true;
    try {
      await mounts.leaveLocalData();
      return true;
    } catch (thrown) {
      log.warn("Cannot unmount a layer's local data to give it up", {
        digest: this.digest,
        error: LazuliError.from(thrown).message,
      });
      return false;
    }
  }

  #isShared(): boolean {
    const { mounts, plane } = this.#options;
    return mounts.hasLocal || (mounts.canBeLocal && plane.isDataShared(this.number));
  }

  /** In one go: who looks after this finds the units missing. */
  #makeMissing(ranges: readonly UnitRange[]): number[] {
    const { plane, ledger, isAwaited, isBusy } = this.#options;
    if (isBusy() || this.#isShared()) return [];
    const gone: number[] = [];
    for (const { first, last } of ranges) {
      // A unit that the plane has and the ledger has not heard of would count as present when it hears.
      const whole = ledger.firstMissing(first, last) === undefined;
      if (isAwaited(first, last)) continue;
      for (const part of whole ? [{ first, last }] : presentRuns(ledger, first, last)) {
        const evicted = plane.evict(this.number, part.first, part.last);
        for (const [index, isEvicted] of evicted.entries()) {
          if (isEvicted !== 1) continue;
          ledger.markEvicted(part.first + index);
          gone.push(part.first + index);
        }
      }
    }
    return gone;
  }

  async #freeDisk(gone: readonly number[]): Promise<boolean> {
    const { writer, plane, ledger, onForgotten } = this.#options;
    try {
      if (await writer.clear(gone)) onForgotten();
      let isFreed = false;
      const end = ledger.units.count - 1;
      for (const { first, last } of rangesOf(gone)) {
        // A block may be shared with a neighbour that went before.
        const outcomes = await plane.punch(this.number, Math.max(0, first - 1), Math.min(end, last + 1));
        if (outcomes.includes(unitOutcomes.stored)) isFreed = true;
      }
      return isFreed;
    } catch (thrown) {
      log.warn("Cannot give up units of a layer; their space is given back at the next start", {
        digest: this.digest,
        error: LazuliError.from(thrown).message,
      });
      return false;
    }
  }
}

function presentRuns(ledger: UnitLedger, first: number, last: number): UnitRange[] {
  const units: number[] = [];
  for (let unit = first; unit <= last; unit += 1) if (ledger.isPresent(unit)) units.push(unit);
  return rangesOf(units);
}

/** Runs of units that stand in order. */
export function rangesOf(units: readonly number[]): UnitRange[] {
  const ranges: { first: number; last: number }[] = [];
  for (const unit of units) {
    const before = ranges.at(-1);
    if (before !== undefined && before.last + 1 === unit) before.last = unit;
    else ranges.push({ first: unit, last: unit });
  }
  return ranges;
}
