import { type FileHandle, open } from "node:fs/promises";
import { checkWindow } from "../soci/index.js";
import { type UnitTable, WINDOW_SIZE } from "../units/index.js";
import { BitSet } from "./bit-set.js";
import type { LayerPaths } from "./paths.js";
import type { UnitLedger } from "./unit-ledger.js";

export interface WindowChecksOptions {
  readonly units: UnitTable;
  readonly ledger: UnitLedger;
  readonly paths: Pick<LayerPaths, "data" | "windows">;
  /** Whether units are on disk as they were when they were verified. */
  readonly verify: (first: number, last: number) => Promise<boolean>;
  /** Called once, with DATA_LOSS: the index has another window than what stands before a unit. */
  readonly onLie: (thrown: unknown) => void;
  /** Called when the files can't be read: nothing is known then. */
  readonly onFailure: (thrown: unknown) => void;
}

/**
 * Compares the window with which each span was inflated to what the span before it turned out to be, as soon as both are
 * here. Sooner is not possible: a span that comes before its neighbour is inflated by a window that only the index knows,
 * and nothing but the digest of the whole archive says what it should give.
 */
export class WindowChecks {
  readonly #options: WindowChecksOptions;
  readonly #checked: BitSet;
  /** Units to look at: at most all of the layer's. */
  readonly #waiting = new Set<number>();
  #running: Promise<void> | undefined;
  #isPaused = false;
  #hasEnded = false;

  constructor(options: WindowChecksOptions) {
    this.#options = options;
    this.#checked = new BitSet(options.units.count);
  }

  /** A unit is here and verified. */
  stored(unit: number): void {
    const { units } = this.#options;
    const end = units.dataOffset(unit) + units.dataLength(unit) + WINDOW_SIZE;
    for (let other = unit; other < units.count && units.dataOffset(other) < end; other += 1) {
      if (this.#canBeChecked(other)) this.#waiting.add(other);
    }
    this.#start();
  }

  /** Returns when nobody has the data file open here, which stays so until `resume()`. */
  async pause(): Promise<void> {
    this.#isPaused = true;
    await this.#running;
  }

  resume(): void {
    this.#isPaused = false;
    this.#start();
  }

  /** Looks at nothing any more. */
  async end(): Promise<void> {
    this.#hasEnded = true;
    await this.#running;
  }

  #start(): void {
    if (this.#hasEnded || this.#isPaused || this.#waiting.size === 0) return;
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
  }

  #canBeChecked(unit: number): boolean {
    if (unit === 0 || this.#checked.has(unit)) return false;
    return this.#isWholeBefore(unit);
  }

  /** Whether a unit and what its window holds are here. */
  #isWholeBefore(unit: number): boolean {
    const { ledger } = this.#options;
    return ledger.firstUnverified(this.#firstBefore(unit), unit) === undefined;
  }

  /** The first unit that has bytes in the window of another. */
  #firstBefore(unit: number): number {
    const { units } = this.#options;
    let first = unit - 1;
    while (first > 0 && units.dataOffset(first) > units.dataOffset(unit) - WINDOW_SIZE) first -= 1;
    return first;
  }

  async #run(): Promise<void> {
    const { paths, onFailure } = this.#options;
    try {
      await using data = await opened(paths.data);
      await using windows = await opened(paths.windows);
      for (const unit of this.#waiting) {
        if (this.#hasEnded || this.#isPaused) return;
        this.#waiting.delete(unit);
        // Given up since: it is looked at when it is here again.
        if (!this.#isWholeBefore(unit)) continue;
        this.#checked.set(unit, true);
        await this.#check(unit, data.file, windows.file);
      }
    } catch (thrown) {
      this.#waiting.clear();
      if (!this.#hasEnded) onFailure(thrown);
    }
  }

  async #check(unit: number, data: FileHandle, windows: FileHandle): Promise<void> {
    const { units, verify, onLie } = this.#options;
    const dataOffset = units.dataOffset(unit);
    const start = Math.max(0, dataOffset - WINDOW_SIZE);
    const before = await read(data, start, dataOffset - start);
    const window = await read(windows, unit * WINDOW_SIZE, WINDOW_SIZE);
    try {
      checkWindow({ unit, dataOffset, window, before });
    } catch (thrown) {
      // A disk that lies is no reason to blame the index.
      if (!(await verify(this.#firstBefore(unit), unit - 1))) return;
      this.#hasEnded = true;
      onLie(thrown);
    }
  }
}

async function read(file: FileHandle, offset: number, length: number): Promise<Buffer> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, offset);
  return buffer.subarray(0, bytesRead);
}

async function opened(path: string): Promise<AsyncDisposable & { readonly file: FileHandle }> {
  const file = await open(path, "r");
  return { file, [Symbol.asyncDispose]: async () => await file.close() };
}
