import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream, type WriteStream } from "node:fs";
import { connect } from "node:net";
import { delay } from "../../src/async/index.js";

const READY_TRIES = 1_000;
const READY_PAUSE_MS = 10;

export interface SupervisorOptions {
  /** Program and arguments. */
  readonly words: readonly string[];
  readonly logFile: string;
  /** Socket that answers when it is ready. */
  readonly socket: string;
}

/** Starts a server again as soon as it has ended, as systemd does, until it is stopped. */
export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #log: WriteStream;
  #child: ChildProcess | undefined;
  #isStopping = false;
  #startsCount = 0;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.#log = createWriteStream(options.logFile, { flags: "a" });
    this.#start();
  }

  get pid(): number {
    return this.#child!.pid!;
  }

  get starts(): number {
    return this.#startsCount;
  }

  /** Ends the server by a signal, and waits until it has ended: the next one is starting by then. */
  async end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child!;
    const ended = once(child, "exit");
    child.kill(signal);
    await ended;
  }

  /** Waits until the server takes connections. */
  async ready(): Promise<void> {
    for (let attempt = 0; attempt < READY_TRIES; attempt += 1) {
      if (await answers(this.#options.socket)) return;
      await delay(READY_PAUSE_MS);
    }
    throw new Error(`The server did not get ready, see ${this.#options.logFile}`);
  }

  /** Waits for the end of the server, whose place this one takes by itself. */
  async replace(child: ChildProcess): Promise<void> {
    const old = this.#child!;
    const ended = once(old, "exit");
    this.#child = child;
    this.#watch(child);
    if (old.exitCode === null && old.signalCode === null) await ended;
  }

  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    this.#isStopping = true;
    const child = this.#child;
    if (child !== undefined && child.exitCode === null && child.signalCode === null) await this.end(signal);
    this.#log.end();
  }

  /** Starts a server beside the one that runs. */
  spawn(words: readonly string[] = this.#options.words): ChildProcess {
    const [program = "", ...args] = words;
    const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] });
    child.stdout.pipe(this.#log, { end: false });
    child.stderr.pipe(this.#log, { end: false });
    return child;
  }

  #start(): void {
    this.#startsCount += 1;
    this.#child = this.spawn();
    this.#watch(this.#child);
  }

  #watch(child: ChildProcess): void {
    child.once("exit", () => {
      if (!this.#isStopping && this.#child === child) this.#start();
    });
  }
}

async function answers(path: string): Promise<boolean> {
  const socket = connect(path);
  return await new Promise<boolean>((resolve) => {
    socket.once("connect", () => resolve(true));
    socket.once("error", () => resolve(false));
  }).finally(() => socket.destroy());
}
