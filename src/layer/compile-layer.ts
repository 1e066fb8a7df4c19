import { Worker } from "node:worker_threads";
import pLimit from "p-limit";
import { deferred, withSignal } from "../async/index.js";
import { dataLoss, LazuliError, resourceExhausted } from "../errors/index.js";
import { UnitTable } from "../units/index.js";
import type { CompiledIndex } from "./compile-index.js";
import { type CompileInput, REHEARSE } from "./compile-input.js";
import type { CompileReply } from "./compile-worker.js";
import {
  COMPILE_HEAP_MIB,
  COMPILE_TIMEOUT_MS,
  COMPILE_YOUNG_HEAP_MIB,
  COMPILER_IDLE_MS,
  COMPILER_PATIENCE_MS,
  COMPILES_MAX,
} from "./limits.js";

export interface CompileOptions {
  readonly input: CompileInput;
  /** The layer, for errors. */
  readonly subject: string;
  readonly signal?: AbortSignal | undefined;
}

/** What a thread may use before it is ended, what it runs, and how long it is waited for before there is a second one. */
export interface CompileLimits {
  readonly program: URL;
  readonly heapMib: number;
  readonly timeoutMs: number;
  readonly patienceMs: number;
}

const usualLimits: CompileLimits = {
  program: new URL("./compile-worker.js", import.meta.url),
  heapMib: COMPILE_HEAP_MIB,
  timeoutMs: COMPILE_TIMEOUT_MS,
  patienceMs: COMPILER_PATIENCE_MS,
};

/**
 * Turns indexes into meta images and unit tables, on threads of their own: a stranger's index can neither hold up the
 * process nor use up its memory. One thread stands ready from the start, and can rehearse; a second one is started when the
 * first is busy for long, since a new one needs 80 ms and is slow at first.
 */
export class Compilers {
  readonly #limit = pLimit(COMPILES_MAX);
  readonly #idle: Worker[] = [];
  /** Who would take the next thread that is free: fewer than COMPILES_MAX. */
  readonly #waiting = new Set<(worker: Worker) => void>();
  #idleTimer: NodeJS.Timeout | undefined;
  #isClosed = false;
  readonly #limits: CompileLimits;

  constructor(limits: Partial<CompileLimits> = {}) {
    this.#limits = { ...usualLimits, ...limits };
    const worker = this.#start();
    worker.unref();
    this.#idle.push(worker);
  }

  /** @throws RESOURCE_EXHAUSTED when it takes too long or too much memory, what the format throws */
  async compile(options: CompileOptions): Promise<CompiledIndex> {
    return await this.#limit(() => this.#compile(options));
  }

  /** Lets a thread that has nothing to do grow quick. */
  rehearse(): void {
    this.#idle[0]?.postMessage(REHEARSE);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#idleTimer);
    await Promise.all(this.#idle.splice(0).map((worker) => worker.terminate()));
  }

  async #compile(options: CompileOptions): Promise<CompiledIndex> {
    options.signal?.throwIfAborted();
    const worker = this.#idle.pop() ?? (await this.#next());
    worker.ref();
    let reply: CompileReply;
    try {
      reply = await replyOf(worker, options, this.#limits);
    } catch (thrown) {
      await worker.terminate();
      throw thrown;
    }
    await this.#keep(worker);
    if (reply.ok) {
      const { units, windows, meta, prefetch, rootOwner } = reply;
      return { units: new UnitTable(bufferOf(units)), windows, meta, prefetch, rootOwner };
    }
    throw new LazuliError(reply.code, reply.message, {
      subject: options.subject,
      ...(reply.reason === undefined ? {} : { reason: reply.reason }),
      ...(reply.hint === undefined ? {} : { hint: reply.hint }),
    });
  }

  /** The next that is free, or a new one where none is busy, or for too long. */
  async #next(): Promise<Worker> {
    if (this.#limit.activeCount === 1) return this.#start();
    const { promise, resolve } = deferred<Worker>();
    const take = (worker: Worker): void => {
      clearTimeout(timer);
      this.#waiting.delete(take);
      resolve(worker);
    };
    const timer = setTimeout(() => take(this.#start()), this.#limits.patienceMs);
    this.#waiting.add(take);
    return await promise;
  }

  #start(): Worker {
    return startWorker(this.#limits, (ended) => this.#forget(ended));
  }

  #forget(worker: Worker): void {
    const index = this.#idle.indexOf(worker);
    if (index >= 0) this.#idle.splice(index, 1);
  }

  async #keep(worker: Worker): Promise<void> {
    if (this.#isClosed) {
      await worker.terminate();
      return;
    }
    const [take] = this.#waiting;
    if (take !== undefined) {
      take(worker);
      return;
    }
    worker.unref();
    this.#idle.push(worker);
    clearTimeout(this.#idleTimer);
    this.#idleTimer = setTimeout(() => {
      for (const idle of this.#idle.splice(1)) void idle.terminate();
    }, COMPILER_IDLE_MS);
    this.#idleTimer.unref();
  }
}

function startWorker({ program, heapMib }: CompileLimits, onExit: (worker: Worker) => void): Worker {
  const worker = new Worker(program, {
    resourceLimits: { maxOldGenerationSizeMb: heapMib, maxYoungGenerationSizeMb: COMPILE_YOUNG_HEAP_MIB },
    env: {},
  });
  // Whoever waits for a reply hears of the failure; an idle thread's concerns nobody.
  worker.on("error", () => undefined);
  worker.once("exit", () => onExit(worker));
  return worker;
}

async function replyOf(
  worker: Worker,
  options: CompileOptions,
  { heapMib, timeoutMs }: CompileLimits,
): Promise<CompileReply> {
  const { input, subject, signal } = options;
  const answer = deferred<CompileReply>();
  const tooMuch = (what: string): void =>
    answer.reject(
      resourceExhausted(`Cannot compile the index of layer ${subject}: it ${what}`, {
        subject,
        reason: "index-too-costly",
      }),
    );
  const onMessage = (reply: CompileReply): void => answer.resolve(reply);
  const onExit = (): void => tooMuch("ended its thread without an answer");
  const onError = (error: NodeJS.ErrnoException): void => {
    if (error.code === "ERR_WORKER_OUT_OF_MEMORY") tooMuch(`needs more than ${heapMib} MiB`);
    else {
      const message = `Cannot compile the index of layer ${subject}: ${error.message}`;
      answer.reject(dataLoss(message, { subject, reason: "index-compile-failed", cause: error }));
    }
  };
  const timer = setTimeout(() => tooMuch(`takes more than ${timeoutMs} ms`), timeoutMs);
  worker.on("message", onMessage);
  worker.on("error", onError);
  worker.on("exit", onExit);
  try {
    worker.postMessage(input);
    return await withSignal(answer.promise, signal);
  } finally {
    clearTimeout(timer);
    // A late failure, after the caller left, has nobody to go to.
    answer.promise.catch(() => undefined);
    worker.off("message", onMessage);
    worker.off("error", onError);
    worker.off("exit", onExit);
  }
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
