import { readFile } from "node:fs/promises";
import { Writable } from "node:stream";
import { delay } from "../../async/index.js";
import type { StreamIo, Task } from "../../client/index.js";
import { failedPrecondition } from "../../errors/index.js";
import type { Ready } from "../workloads/index.js";

/** Older output is forgotten. */
const OUTPUT_CHARACTERS_MAX = 64 * 1024;
/** What an error tells of it. */
const TAIL_CHARACTERS = 400;
const LOOK_PAUSE_MS = 2;
const TCP_LISTEN = "0A";

/** Takes a container's output and tells when it began, and when the container is ready. */
export class ContainerWatch {
  readonly io: StreamIo;
  #output = "";
  #firstOutputMs: number | undefined;
  #onOutput: () => void = () => undefined;

  constructor() {
    this.io = { kind: "streams", stdout: this.#sink(), stderr: this.#sink() };
  }

  /** Of performance.now(); undefined: it has said nothing. */
  get firstOutputMs(): number | undefined {
    return this.#firstOutputMs;
  }

  /** @returns of performance.now() @throws FAILED_PRECONDITION `container-ended` */
  async ready(task: Task, ready: Ready, signal: AbortSignal): Promise<number> {
    const ended = task.wait({ signal });
    if (ready.kind === "exit") {
      const { code } = await ended;
      const endedMs = performance.now();
      if (code === 0) return endedMs;
      throw this.#endedEarly(code);
    }
    const seen = ready.kind === "line" ? this.#line(ready.text) : listens(task.pid, ready.port, signal);
    const code = await Promise.race([seen.then(() => undefined), ended.then((exit) => exit.code)]);
    if (code !== undefined) throw this.#endedEarly(code);
    return performance.now();
  }

  async #line(text: string): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#onOutput = () => {
        if (this.#output.includes(text)) resolve();
      };
      this.#onOutput();
    });
  }

  #endedEarly(code: number): Error {
    const tail = this.#output.slice(-TAIL_CHARACTERS);
    return failedPrecondition(`Cannot measure the start: the container ended with ${code}: ${tail}`, {
      reason: "container-ended",
    });
  }

  #sink(): Writable {
    return new Writable({
      write: (data: Buffer, _encoding, done) => {
        this.#firstOutputMs ??= performance.now();
        this.#output = `${this.#output}${data.toString()}`.slice(-OUTPUT_CHARACTERS_MAX);
        this.#onOutput();
        done();
      },
    });
  }
}

/** Until somebody listens in the network namespace of a process. */
async function listens(pid: number, port: number, signal: AbortSignal): Promise<void> {
  const place = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  const isListening = (line: string): boolean => {
    const [, local, , state] = line.trim().split(/\s+/);
    return local?.endsWith(place) === true && state === TCP_LISTEN;
  };
  while (!signal.aborted) {
    for (const family of ["tcp", "tcp6"]) {
      const table = await readFile(`/proc/${pid}/net/${family}`, "utf8").catch(() => ""); // It has ended.
      if (table.split("\n").some(isListening)) return;
    }
    await delay(LOOK_PAUSE_MS, { signal });
  }
}
