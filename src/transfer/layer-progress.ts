import type { Digest } from "../bytes/index.js";
import type { ConvertEvent } from "./convert-event.js";

/** Bytes between two events of one layer. */
const PROGRESS_BYTES = 1024 * 1024;

/** Counts what is read and written of one layer. */
export class LayerProgress {
  readonly #layer: Digest;
  readonly #onEvent: (event: ConvertEvent) => void;
  #bytesIn = 0;
  #bytesOut = 0;
  #toldOut = 0;

  constructor(layer: Digest, onEvent: (event: ConvertEvent) => void) {
    this.#layer = layer;
    this.#onEvent = onEvent;
  }

  read(bytes: number): void {
    this.#bytesIn += bytes;
    this.#tell(PROGRESS_BYTES);
  }

  /** All bytes so far. */
  written(bytes: number): void {
    this.#bytesOut = bytes;
    this.#tell(PROGRESS_BYTES);
  }

  end(): void {
    this.#tell(0);
  }

  #tell(least: number): void {
    const bytesOut = this.#bytesOut - this.#toldOut;
    if (this.#bytesIn + bytesOut < least) return;
    this.#onEvent({ kind: "progress", layer: this.#layer, bytesIn: this.#bytesIn, bytesOut });
    this.#bytesIn = 0;
    this.#toldOut = this.#bytesOut;
  }
}
