import { once } from "node:events";
import { rm } from "node:fs/promises";
import type { Socket } from "node:net";
import { dirname } from "node:path";
import type { Writable } from "node:stream";
import { deferred, linkSignals, withSignal } from "../async/index.js";
import { failedPrecondition, LazuliError } from "../errors/index.js";
import { log } from "../observe/index.js";
import { type FifoPaths, makeFifos, openFifoReader, openFifoWriter } from "../pipes/index.js";
import type { ContainerIo, ProcessStreams } from "./contract.js";
import { LogWriter } from "./log-writer.js";

export interface ContainerIoOptions {
  /** Of the container or exec. */
  readonly id: string;
  /** The FIFOs' folder is made below it. */
  readonly folder: string;
  /** FIFOs of a process that runs already, after a restart; undefined: new ones are made. */
  readonly paths?: FifoPaths | undefined;
  readonly hasStdin: boolean;
  readonly isTerminal: boolean;
  /** The input ends for ever with the first client that ends it. */
  readonly isStdinOnce: boolean;
  /** Undefined: what nobody is attached to take is dropped. */
  readonly log: { readonly path: string; readonly lineBytesMax: number } | undefined;
  /** Asks the shim to close its end of the input. */
  readonly closeStdin: () => Promise<void>;
  /** Nanoseconds since 1970. */
  readonly now: () => bigint;
}

type OutputName = "stdout" | "stderr";
type Taker = (bytes: Uint8Array) => Promise<void>;

/** Clients attached to one process; one more is refused. */
const ATTACHED_MAX = 64;
/** A client that takes nothing for this long is let go of, where it would hold back a container that has a log. */
const SLOW_CLIENT_MS = 30_000;

/** Opens the pipes of a process before it is made, or again after a restart. @throws FAILED_PRECONDITION `fifo-failed` */
export async function openContainerIo(options: ContainerIoOptions): Promise<ContainerIo> {
  const paths = options.paths ?? (await makeFifos(options));
  const writer =
    options.log === undefined ? undefined : await LogWriter.open({ ...options.log, now: options.now });
  return new OpenContainerIo(options, paths, writer);
}

class OpenContainerIo implements ContainerIo {
  readonly paths: FifoPaths;
  readonly #options: ContainerIoOptions;
  readonly #log: LogWriter | undefined;
  readonly #readers: Socket[] = [];
  readonly #takers: Readonly<Record<OutputName, Set<Taker>>> = { stdout: new Set(), stderr: new Set() };
  readonly #stdin: Writable | undefined;
  readonly #drained: Promise<void>;
  #attached = 0;
  #isClosing = false;

  constructor(options: ContainerIoOptions, paths: FifoPaths, writer: LogWriter | undefined) {
    this.#options = options;
    this.paths = { stdin: paths.stdin, stdout: paths.stdout, stderr: paths.stderr };
    this.#log = writer;
    this.#stdin = paths.stdin === "" ? undefined : openFifoWriter(paths.stdin);
    // A write that fails is told where it is made.
    this.#stdin?.on("error", () => undefined);
    const outputs = (["stdout", "stderr"] as const).filter((name) => paths[name] !== "");
    this.#drained = Promise.all(outputs.map((name) => this.#follow(name, paths[name]))).then(() => undefined);
  }

  async attach(streams: ProcessStreams, { signal }: { readonly signal: AbortSignal }): Promise<void> {
    if (this.#attached >= ATTACHED_MAX) {
      throw failedPrecondition(
        `Cannot attach to ${this.#options.id}: at most ${ATTACHED_MAX} may be attached`,
        {
          subject: this.#options.id,
          reason: "attached-max",
        },
      );
    }
    this.#attached += 1;
    const gone = deferred<void>();
    const added = (["stdout", "stderr"] as const).flatMap((name) => {
      const take = streams[name];
      if (take === undefined) return [];
      const taker: Taker = async (bytes) => {
        using patience = linkSignals([], this.#log === undefined ? undefined : SLOW_CLIENT_MS);
        try {
          await withSignal(take(bytes), patience.signal);
        } catch {
          // This client is gone: the others and the log get the bytes all the same.
          gone.resolve();
          this.#takers[name].delete(taker);
        }
      };
      this.#takers[name].add(taker);
      return [() => this.#takers[name].delete(taker)];
    });
    try {
      const input = streams.stdin === undefined ? undefined : this.#copyStdin(streams.stdin, signal);
      const hasOutput = added.length > 0;
      const ended = hasOutput ? this.#drained : Promise.race([this.#drained, input ?? this.#drained]);
      // Aborted: the client closed its connection, which is how most attachments end.
      await withSignal(Promise.race([ended, gone.promise]), signal).catch(() => undefined);
    } finally {
      for (const remove of added) remove();
      this.#attached -= 1;
    }
  }

  async reopenLog(): Promise<void> {
    await this.#log?.reopen();
  }

  async drained(options: { readonly signal?: AbortSignal | undefined } = {}): Promise<void> {
    await withSignal(this.#drained, options.signal);
  }

  async letGo(): Promise<void> {
    this.#isClosing = true;
    this.#stdin?.destroy();
    for (const reader of this.#readers) reader.destroy();
    await this.#drained;
    await this.#log?.close();
  }

  async close(): Promise<void> {
    await this.letGo();
    const path = this.paths.stdout || this.paths.stderr || this.paths.stdin;
    if (path !== "") await rm(dirname(path), { recursive: true, force: true });
  }

  /** Gives the output to the log and to who is attached; the process waits for the slowest of them. Never rejects. */
  async #follow(name: OutputName, path: string): Promise<void> {
    const reader = openFifoReader(path);
    this.#readers.push(reader);
    const closed = once(reader, "close").catch(() => undefined); // An error is told by the loop.
    try {
      for await (const bytes of reader as AsyncIterable<Buffer>) {
        const takers = [...this.#takers[name]].map((take) => take(bytes));
        await Promise.all([this.#log?.write(name, bytes), ...takers]);
      }
    } catch (thrown) {
      const { id } = this.#options;
      const error = LazuliError.from(thrown).message;
      if (!this.#isClosing) log.warn("Stopped reading what a container prints", { container: id, error });
      reader.destroy();
    }
    await closed;
    await this.#log?.flush(name).catch((thrown: unknown) => {
      log.warn("Could not write the end of a log", { error: LazuliError.from(thrown).message });
    });
  }

  async #copyStdin(input: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<void> {
    const stdin = this.#stdin;
    if (stdin === undefined) return;
    try {
      for await (const bytes of input) {
        if (signal.aborted || stdin.destroyed) return;
        if (!stdin.write(bytes)) await once(stdin, "drain", { signal });
      }
    } catch {
      // The client or the process is gone: there is nobody to write for.
      return;
    }
    if (this.#options.isStdinOnce) await this.#endStdin();
  }

  async #endStdin(): Promise<void> {
    const stdin = this.#stdin;
    // Not before the last bytes are in the FIFO.
    if (stdin !== undefined && !stdin.destroyed) await new Promise<void>((resolve) => stdin.end(resolve));
    // The process may have ended meanwhile, and its shim too.
    await this.#options.closeStdin().catch(() => undefined);
  }
}
