import { linkSignals } from "../async/index.js";
import { LazuliError } from "../errors/index.js";
import { log } from "../observe/index.js";

type Undo = (options: { readonly signal: AbortSignal }) => Promise<unknown> | undefined;

/** Longest time for undoing all of one pod, as containerd's `cri.defercleanup`. */
const UNDO_TIMEOUT_MS = 60_000;

/** The steps back from a pod that did not start, last first. */
export class Rollback {
  readonly #steps: { readonly what: string; readonly undo: Undo }[] = [];

  /** Before the step whose failure may leave something behind. */
  add(what: string, undo: Undo): void {
    this.#steps.push({ what, undo });
  }

  /** Ends at the first step that fails, because those before it are needed to try again: false then. */
  async run(id: string): Promise<boolean> {
    using deadline = linkSignals([], UNDO_TIMEOUT_MS);
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      try {
        await step.undo({ signal: deadline.signal });
      } catch (thrown) {
        const error = LazuliError.from(thrown).message;
        log.error("Could not undo what a pod had before it failed", { pod: id, step: step.what, error });
        return false;
      }
    }
    return true;
  }
}
