import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Numbers that are written down at once; what is left of them is passed over by the next process. */
const BLOCK = 256;

/**
 * Numbers of layers. None is used twice while the node's FUSE mount lives, over restarts too: the kernel may still have
 * names and pages of a layer that is gone.
 */
export class LayerNumbers {
  readonly #path: string;
  #next = 1;
  #reserved: number;

  constructor(state: string) {
    this.#path = join(state, "layer-numbers");
    this.#reserved = readReserved(this.#path);
    this.#next = this.#reserved;
  }

  /** A layer that is there has this number. */
  taken(number: number): void {
    this.#next = Math.max(this.#next, number + 1);
  }

  take(): number {
    const number = this.#next;
    this.#next += 1;
    if (number >= this.#reserved) {
      this.#reserved = number + BLOCK;
      // By a rename: a file that is empty after a kill would begin anew.
      writeFileSync(`${this.#path}.new`, `${this.#reserved}\n`, { mode: 0o600 });
      renameSync(`${this.#path}.new`, this.#path);
    }
    return number;
  }
}

function readReserved(path: string): number {
  try {
    const number = Number(readFileSync(path, "latin1").trim());
    return Number.isSafeInteger(number) && number > 0 ? number : 1;
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === "ENOENT") return 1;
    throw thrown;
  }
}
