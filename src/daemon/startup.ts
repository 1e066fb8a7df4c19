import { LazuliError } from "../errors/index.js";
import { log } from "../observe/index.js";

interface Started {
  readonly name: string;
  readonly stop: () => PromiseLike<void> | void;
}

/** The parts of the daemon in the order of their start; they stop in reverse. */
export class Startup {
  readonly #started: Started[] = [];

  /** Starts one part; its failure is told with the part's name. */
  async part<T>(
    name: string,
    start: () => Promise<T> | T,
    stop: (value: T) => PromiseLike<void> | void = () => undefined,
  ): Promise<T> {
    const before = performance.now();
    try {
      const value = await start();
      this.#started.push({ name, stop: () => stop(value) });
      log.debug("Started a part", { part: name, milliseconds: Math.round(performance.now() - before) });
      return value;
    } catch (thrown) {
      const { message, code, reason } = LazuliError.from(thrown);
      log.error("Cannot start a part", { part: name, error: message, code, reason });
      throw thrown;
    }
  }

  /** Stops all parts, the last first. One that fails is told and does not keep the others from stopping. */
  async stop(): Promise<void> {
    for (let part = this.#started.pop(); part !== undefined; part = this.#started.pop()) {
      try {
        await part.stop();
      } catch (thrown) {
        log.error("Cannot stop a part cleanly", { part: part.name, error: String(thrown) });
      }
    }
  }
}
