import { rm } from "node:fs/promises";
import { dirname } from "node:path";
import pLimit from "p-limit";
import { replaceFile, syncFolder } from "../files/index.js";
import type { NativePlane } from "../fuse/index.js";
import { encodeBitmap } from "./bitmap-file.js";
import { type LayerFiles, tableSha256 } from "./layer-folder.js";
import { encodeSums } from "./sums-file.js";

/**
 * Writes down which units are on disk, one write at a time. It knows what stands in the file, so that units can be taken
 * out of it without the data being synced.
 */
export class BitmapWriter {
  readonly #files: LayerFiles;
  readonly #plane: Pick<NativePlane, "sync" | "sums">;
  readonly #inTurn = pLimit(1);
  /** Bits that may be set in the file. */
  #durable: Uint8Array;

  constructor(files: LayerFiles, plane: Pick<NativePlane, "sync" | "sums">) {
    this.#files = files;
    this.#plane = plane;
    this.#durable = Uint8Array.from(files.present.bytes);
  }

  /** Syncs the data and notes what was there before. */
  async write(): Promise<void> {
    await this.#inTurn(async () => {
      const { record, units, paths } = this.#files;
      const bits = await this.#plane.sync(record.number);
      const facts = { units: units.count, tableSha256: tableSha256(units) };
      // First: a bit without its sum is a unit that is fetched again.
      if (units.needsSums) {
        await replaceFile(paths.sums, encodeSums(this.#plane.sums(record.number), facts));
      }
      // A write that fails may have been done all the same.
      this.#durable = this.#durable.map((byte, index) => byte | (bits[index] ?? 0));
      await replaceFile(paths.bitmap, encodeBitmap(bits, facts));
      this.#durable = Uint8Array.from(bits);
    });
  }

  /**
   * When it returns the file has none of these units any more. They must be missing in the plane already, so that no later
   * write has them. True: other units left the file too, and have to be written again.
   */
  async clear(gone: readonly number[]): Promise<boolean> {
    return await this.#inTurn(async () => {
      const { units, paths } = this.#files;
      const bits = Uint8Array.from(this.#durable);
      let isChanged = false;
      for (const unit of gone) {
        const mask = 1 << (unit & 7);
        if (((bits[unit >>> 3] ?? 0) & mask) === 0) continue;
        bits[unit >>> 3]! &= ~mask;
        isChanged = true;
      }
      if (!isChanged) return false;
      try {
        const facts = { units: units.count, tableSha256: tableSha256(units) };
        await replaceFile(paths.bitmap, encodeBitmap(bits, facts));
        this.#durable = bits;
        return false;
      } catch (thrown) {
        if (!isDiskFull(thrown)) throw thrown;
      }
      // There is no room for the new file. Without any nothing is known to be on disk, which is true enough.
      await rm(paths.bitmap, { force: true });
      await rm(`${paths.bitmap}.new`, { force: true });
      await syncFolder(dirname(paths.bitmap));
      this.#durable = new Uint8Array(bits.length);
      return true;
    });
  }
}

export function isDiskFull(thrown: unknown): boolean {
  const { code } = thrown as NodeJS.ErrnoException;
  return code === "ENOSPC" || code === "EDQUOT";
}
