import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import type { Readable, Writable } from "node:stream";
import { deferred } from "../async/index.js";
import { CLOSE_TIMEOUT_MS, STDERR_TAIL_BYTES } from "./limits.js";

export interface ProgramOptions {
  /** An absolute path, or a name that is looked for in PATH. */
  readonly path: string;
  readonly args: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  /** Files of ours that would be inherited: in their places are ones of /dev/null. */
  readonly inherited: ReadonlySet<number>;
  /** To be read from file 3; undefined: there is no such file. */
  readonly payload: Uint8Array | undefined;
}

export type ProgramEnd =
  | { readonly kind: "exit"; readonly code: number }
  | { readonly kind: "signal"; readonly name: string }
  | { readonly kind: "not-started"; readonly cause: NodeJS.ErrnoException };

/** A running program in a process group of its own, with stdin, stdout, perhaps file 3, and nothing else of ours. */
export class Program {
  readonly stdout: Readable;
  readonly ended: Promise<ProgramEnd>;
  readonly #child: ChildProcess;
  readonly #stdin: Writable;
  readonly #closed = deferred<void>();
  #stderr: Buffer = Buffer.alloc(0);
  #takesInput = true;

  constructor(options: ProgramOptions) {
    const { path, args, environment, payload } = options;
    const nothing = openSync("/dev/null", "r+");
    try {
      this.#child = spawn(path, args, {
        cwd: "/",
        env: environment,
        stdio: stdioOf(options, nothing),
        // Its group is killed with it: a script's children, too.
        detached: true,
      });
    } finally {
      closeSync(nothing);
    }
    this.#stdin = this.#child.stdin!;
    this.stdout = this.#child.stdout!;
    const payloadPipe = payload === undefined ? undefined : (this.#child.stdio[3] as Writable | null);
    this.ended = endOf(this.#child);
    this.#child.once("close", () => this.#closed.resolve());
    // It may end without reading all: its exit code tells whether that was right.
    this.#stdin.on("error", () => {
      this.#takesInput = false;
    });
    this.#child.stderr?.on("data", (bytes: Buffer) => {
      this.#stderr = Buffer.concat([this.#stderr, bytes]).subarray(-STDERR_TAIL_BYTES);
    });
    payloadPipe?.on("error", () => undefined);
    payloadPipe?.end(payload);
  }

  /** Resolves when there is room for more. Bytes for a program that reads no more are dropped. */
  async write(bytes: Buffer): Promise<void> {
    if (!this.#takesInput) return;
    await new Promise<void>((resolve) => {
      this.#stdin.write(bytes, (error) => {
        if (error) this.#takesInput = false;
        resolve();
      });
    });
  }

  endInput(): void {
    this.#stdin.end();
  }

  /** Ends it and its children. One that has ended with its output is left: its number may be another's by now. */
  kill(): void {
    const { pid, exitCode, signalCode } = this.#child;
    const hasEnded = (exitCode ?? signalCode) !== null && this.stdout.readableEnded;
    if (pid === undefined || hasEnded) return;
    try {
      process.kill(-pid, "SIGKILL");
    } catch {
      // None of the group is left.
    }
    this.#stdin.destroy();
    this.stdout.destroy();
  }

  /** The end of what it wrote to stderr, once it has ended. */
  async stderrTail(): Promise<string> {
    const late = setTimeout(() => this.#closed.resolve(), CLOSE_TIMEOUT_MS);
    await this.#closed.promise;
    clearTimeout(late);
    return this.#stderr.toString("utf8").trim();
  }
}

function stdioOf({ inherited, payload }: ProgramOptions, nothing: number): (number | "pipe" | "ignore")[] {
  const pipes = payload === undefined ? 3 : 4;
  const length = Math.max(pipes, ...[...inherited].map((number) => number + 1));
  return Array.from({ length }, (_, number) => {
    if (number < pipes) return "pipe";
    return inherited.has(number) ? nothing : "ignore";
  });
}

async function endOf(child: ChildProcess): Promise<ProgramEnd> {
  return await new Promise((resolve) => {
    child.once("error", (cause) => resolve({ kind: "not-started", cause }));
    child.once("exit", (code, signal) =>
      resolve(code === null ? { kind: "signal", name: signal ?? "" } : { kind: "exit", code }),
    );
  });
}
