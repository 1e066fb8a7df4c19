import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { unitOutcomes } from "../../src/fuse/index.js";
import type { UnitTable } from "../../src/units/index.js";
import { binding } from "../fuse/rig.js";

export interface IngestedLayer {
  /** One of `unitOutcomes` a unit. */
  readonly outcomes: readonly number[];
  readonly data: Buffer;
}

/** A plane without mounts, which decodes the units of one layer after another. */
export class SpanPlane implements Disposable {
  readonly #folder = mkdtempSync(join(tmpdir(), "lazuli-fuzz-"));
  readonly #plane = new binding.Plane({
    fuseThreads: 1,
    workerThreads: 1,
    waitingReadsMax: 1,
    onMiss: () => undefined,
    onInterrupt: () => undefined,
    onDamaged: () => undefined,
    onRefused: () => undefined,
  });
  #number = 0;

  /** Decodes each unit for itself, from the range of the blob that it names. Throws what the plane does not take. */
  async ingest(table: UnitTable, windows: Buffer, blob: Buffer): Promise<IngestedLayer> {
    this.#number += 1;
    const layer = this.#number;
    const path = join(this.#folder, "data");
    const dataFd = openSync(path, "w+");
    try {
      const present = new Uint8Array(Math.ceil(table.count / 8));
      this.#plane.addLayer({ number: layer, dataFd, units: table.buffer, present, windows, metaFd: -1 });
    } finally {
      closeSync(dataFd);
    }
    const outcomes: number[] = [];
    for (let unit = table.count - 1; unit >= 0; unit -= 1) {
      const { first, last } = table.streamOf(unit);
      if (last !== unit) continue;
      const blobOffset = table.blobOffset(unit);
      const bytes = Buffer.from(blob.subarray(blobOffset, table.blobEnd(unit)));
      outcomes.unshift(
        ...(await this.#plane.ingest({ layer, firstUnit: first, lastUnit: last, bytes, blobOffset })),
      );
    }
    this.#plane.removeLayer(layer);
    return { outcomes, data: readFileSync(path) };
  }

  [Symbol.dispose](): void {
    this.#plane.close();
    rmSync(this.#folder, { recursive: true });
  }
}

export function isStored(outcome: number | undefined): boolean {
  return outcome === unitOutcomes.stored;
}
