import { close } from "node:fs";
import { promisify } from "node:util";
import { log } from "../observe/index.js";

const closeFile = promisify(close);

/** Descriptors that are closed together, last first; off the JS thread, since the last one of a mount may sync it. */
export class OpenFiles implements AsyncDisposable {
  readonly #fds: number[] = [];

  keep(fd: number): number {
    this.#fds.push(fd);
    return fd;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (let fd = this.#fds.pop(); fd !== undefined; fd = this.#fds.pop()) {
      try {
        await closeFile(fd);
      } catch (thrown) {
        // The descriptor is gone all the same (close(2)).
        log.warn("Cannot close a descriptor of a mount", { fd, error: String(thrown) });
      }
    }
  }
}
