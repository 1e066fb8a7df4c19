import { createHash } from "node:crypto";
import { type IngestOptions, unitOutcomes } from "../../src/fuse/index.js";
import { BitSet } from "../../src/layer/bit-set.js";
import type { UnitPlane } from "../../src/layer/layer-fetcher.js";
import { encodeUnitTable, type Unit, type UnitTable } from "../../src/units/index.js";

/** The native plane as the scheduler sees it, for raw units, without files. */
export class FakePlane implements UnitPlane {
  readonly present: BitSet;
  readonly ingested: { readonly firstUnit: number; readonly lastUnit: number }[] = [];
  /** Calls of failReads(). */
  readonly failed: { readonly reads: readonly bigint[]; readonly errno: number }[] = [];
  /** Units whose write fails. */
  readonly broken = new Set<number>();
  /** Units for which the disk is full, so many times more. */
  readonly full = new Map<number, number>();
  readonly #units: UnitTable;

  constructor(units: UnitTable) {
    this.#units = units;
    this.present = new BitSet(units.count);
  }

  async ingest(options: IngestOptions): Promise<Uint8Array> {
    const { firstUnit, lastUnit, bytes, blobOffset } = options;
    this.ingested.push({ firstUnit, lastUnit });
    const outcomes = new Uint8Array(lastUnit - firstUnit + 1);
    for (let unit = firstUnit; unit <= lastUnit; unit += 1) {
      outcomes[unit - firstUnit] = this.#store(unit, bytes, blobOffset);
    }
    return outcomes;
  }

  failReads(reads: readonly bigint[], errno: number): void {
    this.failed.push({ reads, errno });
  }

  presence(): Uint8Array {
    return Uint8Array.from(this.present.bytes);
  }

  #store(unit: number, bytes: Uint8Array, blobOffset: number): number {
    if (this.present.has(unit)) return unitOutcomes.alreadyPresent;
    if (this.broken.has(unit)) return unitOutcomes.ioError;
    const times = this.full.get(unit) ?? 0;
    if (times > 0) {
      this.full.set(unit, times - 1);
      return unitOutcomes.noSpace;
    }
    const from = this.#units.blobOffset(unit) - blobOffset;
    const content = bytes.subarray(from, from + this.#units.dataLength(unit));
    const record = this.#units.buffer.subarray(64 + unit * 80 + 40, 64 + unit * 80 + 72);
    if (!createHash("sha256").update(content).digest().equals(record)) return unitOutcomes.corrupt;
    this.present.set(unit, true);
    return unitOutcomes.stored;
  }
}

/** A blob of `count` raw units of `unitBytes`, each of other bytes, and its table. */
export function rawUnits(count: number, unitBytes: number): { blob: Buffer; units: UnitTable } {
  const blob = Buffer.alloc(count * unitBytes);
  const list: Unit[] = [];
  for (let unit = 0; unit < count; unit += 1) {
    const offset = unit * unitBytes;
    const content = blob.subarray(offset, offset + unitBytes);
    content.fill(unit & 0xff);
    content.writeUInt32LE(unit, 0);
    list.push({
      dataOffset: offset,
      dataLength: unitBytes,
      blobOffset: offset,
      blobLength: unitBytes,
      innerOffset: 0,
      sha256: createHash("sha256").update(content).digest(),
      codec: "raw",
    });
  }
  const facts = { dataSize: blob.length, blobSize: blob.length, blockSize: 4096 };
  return { blob, units: encodeUnitTable(list, facts) };
}
