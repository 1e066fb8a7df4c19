import type { ConvertEvent } from "../transfer/index.js";
import { humanBytes } from "./table.js";

export interface ProgressOutput {
  /** `bar`: one line that is drawn again and again; `json`: a line for each event; `lines`: a line for each layer. */
  readonly kind: "bar" | "json" | "lines";
  /** Raw text on stderr. */
  readonly write: (text: string) => void;
  readonly columns: number;
  /** Milliseconds of a clock that never goes back. */
  readonly now: () => number;
}

const REDRAW_MS = 100;
const JSON_MS = 500;
const BAR_CELLS_MAX = 30;

/** Shows how far a conversion is: layers, bytes in and out, and how fast. */
export class Progress {
  readonly #output: ProgressOutput;
  readonly #startMs: number;
  #shownMs = Number.NEGATIVE_INFINITY;
  #layers = 0;
  #layersDone = 0;
  #bytes = 0;
  #bytesIn = 0;
  #bytesOut = 0;
  /** Of layers whose bytes were read in part or not at all, and that are done nevertheless. */
  readonly #readOf = new Map<string, number>();

  constructor(output: ProgressOutput) {
    this.#output = output;
    this.#startMs = output.now();
  }

  show(event: ConvertEvent): void {
    this.#count(event);
    const { kind } = this.#output;
    if (kind === "bar") this.#draw(event.kind !== "progress");
    else if (kind === "json") this.#tellJson(event);
    else if (event.kind === "ended") this.#output.write(`${layerLine(event)}\n`);
  }

  /** Takes the bar away. */
  end(): void {
    if (this.#output.kind === "bar") this.#output.write("\r\u001b[K");
  }

  #count(event: ConvertEvent): void {
    if (event.kind === "found") {
      this.#layers += event.layers;
      this.#bytes += event.bytes;
    } else if (event.kind === "progress") {
      this.#bytesIn += event.bytesIn;
      this.#bytesOut += event.bytesOut;
      this.#readOf.set(event.layer, (this.#readOf.get(event.layer) ?? 0) + event.bytesIn);
    } else if (event.kind === "ended") {
      this.#layersDone += 1;
      this.#bytesIn += event.sourceBytes - (this.#readOf.get(event.source) ?? 0);
      this.#readOf.delete(event.source);
    }
  }

  #tellJson(event: ConvertEvent): void {
    const { now, write } = this.#output;
    if (event.kind !== "progress") {
      const { kind, ...facts } = event;
      write(`${JSON.stringify({ event: kind, ...facts })}\n`);
      return;
    }
    if (now() - this.#shownMs < JSON_MS) return;
    this.#shownMs = now();
    const layers = { layersDone: this.#layersDone, layers: this.#layers };
    const bytes = { bytesIn: this.#bytesIn, bytes: this.#bytes, bytesOut: this.#bytesOut };
    write(`${JSON.stringify({ event: "progress", ...layers, ...bytes })}\n`);
  }

  #draw(isDue: boolean): void {
    const { now, write, columns } = this.#output;
    if (!isDue && now() - this.#shownMs < REDRAW_MS) return;
    this.#shownMs = now();
    const part = this.#bytes === 0 ? 0 : Math.min(1, this.#bytesIn / this.#bytes);
    const cells = Math.max(4, Math.min(BAR_CELLS_MAX, columns - 70));
    const full = Math.round(part * cells);
    const bar = `${"█".repeat(full)}${"░".repeat(cells - full)}`;
    const seconds = Math.max(0.001, (now() - this.#startMs) / 1000);
    const speed = humanBytes(Math.round(this.#bytesIn / seconds));
    const counts = `layer ${Math.min(this.#layersDone + 1, this.#layers)} of ${this.#layers}`;
    const bytes = `${humanBytes(this.#bytesIn)} in, ${humanBytes(this.#bytesOut)} out`;
    const line = `${counts} ${bar} ${Math.round(part * 100)}% ${bytes}, ${speed}/s`;
    write(`\r\u001b[K${line.slice(0, Math.max(1, columns - 1))}`);
  }
}

function layerLine(layer: Extract<ConvertEvent, { kind: "ended" }>): string {
  const { source, action, note, sourceBytes, targetBytes } = layer;
  const why = note === undefined ? "" : ` (${note})`;
  return `${source.slice(0, 19)}: ${action}${why}, ${humanBytes(sourceBytes)} to ${humanBytes(targetBytes)}`;
}
