import type { OnPullEvent } from "../client/index.js";
import type { CommandInput } from "./command.js";
import { humanBytes } from "./table.js";

const REDRAW_MS = 100;
const BAR_CELLS = 30;
const DIGEST_LENGTH = 19;

/** Shows a pull or push on stderr: a bar on a terminal, a line a layer otherwise, nothing when it is quiet. */
export class PullProgress implements Disposable {
  readonly onEvent: OnPullEvent = (event) => this.#show(event);
  readonly #input: CommandInput;
  readonly #kind: "bar" | "lines" | "none";
  readonly #seen = new Map<string, { readonly bytes: number; done: number }>();
  #lazyLayers = 0;
  #shownMs = Number.NEGATIVE_INFINITY;

  constructor(input: CommandInput) {
    this.#input = input;
    const isQuiet = input.options.quiet !== undefined || input.options.json !== undefined;
    this.#kind = isQuiet ? "none" : process.stderr.isTTY === true ? "bar" : "lines";
  }

  /** Takes the bar away. */
  [Symbol.dispose](): void {
    if (this.#kind === "bar") process.stderr.write("\r\u001b[K");
  }

  #show(event: Parameters<OnPullEvent>[0]): void {
    const name = event.digest.slice(0, DIGEST_LENGTH);
    if (event.kind === "found") this.#seen.set(event.digest, { bytes: event.bytes, done: 0 });
    const blob = this.#seen.get(event.digest);
    if (event.kind === "bytes" && blob !== undefined)
      blob.done = Math.min(blob.bytes, blob.done + event.bytes);
    if (event.kind === "done" && blob !== undefined) blob.done = blob.bytes;
    if (event.kind === "layer" && event.state === "lazy") this.#lazyLayers += 1;
    if (this.#kind === "bar") this.#draw(event.kind !== "bytes");
    if (this.#kind !== "lines") return;
    if (event.kind === "layer") this.#input.tell(`${name} ${layerText[event.state]}`);
    if (event.kind === "done") this.#input.tell(`${name} ${humanBytes(blob?.bytes ?? 0)}`);
  }

  #draw(isDue: boolean): void {
    const nowMs = performance.now();
    if (!isDue && nowMs - this.#shownMs < REDRAW_MS) return;
    this.#shownMs = nowMs;
    const blobs = [...this.#seen.values()];
    const total = blobs.reduce((sum, { bytes }) => sum + bytes, 0);
    const done = blobs.reduce((sum, blob) => sum + blob.done, 0);
    const cells = total === 0 ? 0 : Math.floor((BAR_CELLS * done) / total);
    const bar = `${"█".repeat(cells)}${"░".repeat(BAR_CELLS - cells)}`;
    const lazy = this.#lazyLayers === 0 ? "" : `  ${this.#lazyLayers} lazy`;
    process.stderr.write(`\r\u001b[K${bar} ${humanBytes(done)} of ${humanBytes(total)}${lazy}`);
  }
}

const layerText = {
  present: "is here already",
  lazy: "comes when it is read",
  unpacked: "is unpacked",
} as const;
