/** Tells when a program keeps us waiting: we want its output, and it does not wait for input of ours. */
export class StallWatch implements Disposable {
  readonly #timeoutMs: number;
  readonly #onStall: () => void;
  readonly #waits = { forInput: false, forOutput: false };
  #timer: NodeJS.Timeout | undefined;

  constructor(options: { readonly timeoutMs: number; readonly onStall: () => void }) {
    this.#timeoutMs = options.timeoutMs;
    this.#onStall = options.onStall;
  }

  /** Something went on: the time begins anew. */
  moved(waits: { readonly forInput?: boolean; readonly forOutput?: boolean }): void {
    Object.assign(this.#waits, waits);
    clearTimeout(this.#timer);
    this.#timer =
      this.#waits.forOutput && !this.#waits.forInput ? setTimeout(this.#onStall, this.#timeoutMs) : undefined;
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}
