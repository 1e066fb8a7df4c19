import { rm } from "node:fs/promises";
import type { Socket } from "node:net";
import { dirname, isAbsolute } from "node:path";
import type { Readable, Writable } from "node:stream";
import { invalidArgument } from "../errors/index.js";
import { type FifoPaths, makeFifos, openFifoReader, openFifoWriter } from "../pipes/index.js";

/** Where a process reads from and writes to. */
export type TaskIo =
  /** Nowhere. */
  | { readonly kind: "none" }
  /** This process's own streams; stdin only where it is asked for. */
  | { readonly kind: "inherit"; readonly hasStdin?: boolean; readonly isTerminal?: boolean }
  | StreamIo
  /** Both outputs are appended to a file by the shim, also while no client is there. */
  | { readonly kind: "file"; readonly path: string }
  /** Both outputs go to a program that the shim starts (containerd's logging binaries). */
  | { readonly kind: "binary"; readonly path: string; readonly arguments?: Readonly<Record<string, string>> };

export interface StreamIo {
  readonly kind: "streams";
  readonly stdin?: Readable | undefined;
  readonly stdout?: Writable | undefined;
  /** Not used with a terminal. */
  readonly stderr?: Writable | undefined;
  readonly isTerminal?: boolean | undefined;
}

/** What a request names, and the copying that goes with it. */
export interface OpenIo {
  readonly stdin: string;
  readonly stdout: string;
  readonly stderr: string;
  readonly isTerminal: boolean;
  /** Both outputs have ended and are written. */
  readonly finished: Promise<void>;
  /** Begins to copy the input. Before the shim has the FIFO open nobody would keep what is written and closed. */
  startInput(): void;
  /** Called when the input has ended. */
  onStdinEnd: (() => void) | undefined;
  /** Stops copying. The FIFOs stay for who comes later. */
  stop(): void;
  /** Stops copying and takes the FIFOs away. Safe to call twice. */
  close(): Promise<void>;
}

export interface OpenIoOptions {
  /** Of the container or exec. */
  readonly id: string;
  readonly fifoFolder: string;
}

/** @throws INVALID_ARGUMENT `io-invalid`, FAILED_PRECONDITION `fifo-failed` */
export async function openIo(io: TaskIo, options: OpenIoOptions): Promise<OpenIo> {
  switch (io.kind) {
    case "none":
      return withoutCopying("");
    case "file":
      return withoutCopying(new URL(`file://${encodeURI(absolute(io.path))}`).href);
    case "binary": {
      const url = new URL(`binary://${encodeURI(absolute(io.path))}`);
      for (const [key, value] of Object.entries(io.arguments ?? {})) url.searchParams.set(key, value);
      return withoutCopying(url.href);
    }
    default: {
      const streams = streamsOf(io);
      const isTerminal = streams.isTerminal === true;
      const hasStdin = streams.stdin !== undefined;
      const fifos = await makeFifos({ folder: options.fifoFolder, id: options.id, hasStdin, isTerminal });
      return new StreamCopy(streams, fifos, fifos.remove);
    }
  }
}

export interface AttachIoOptions {
  /** undefined: nothing is copied, and the FIFOs go with the process. */
  readonly streams: StreamIo | undefined;
  readonly paths: FifoPaths;
  readonly fifoFolder: string;
}

/** Goes on with the FIFOs of a process that runs. Those below our folder are removed with it, others are their maker's. */
export function attachIo({ streams, paths, fifoFolder }: AttachIoOptions): OpenIo {
  const folder = dirname(paths.stdout);
  const isOurs = dirname(folder) === fifoFolder;
  const remove = async (): Promise<void> => {
    if (isOurs) await rm(folder, { recursive: true, force: true });
  };
  if (streams === undefined || !paths.stdout.startsWith("/")) return { ...withoutCopying(""), close: remove };
  const copy = new StreamCopy(streams, paths, remove);
  copy.startInput();
  return copy;
}

function streamsOf(io: Extract<TaskIo, { kind: "inherit" | "streams" }>): StreamIo {
  if (io.kind === "streams") return io;
  return {
    kind: "streams",
    stdin: io.hasStdin === true ? process.stdin : undefined,
    stdout: process.stdout,
    stderr: process.stderr,
    isTerminal: io.isTerminal,
  };
}

function absolute(path: string): string {
  if (isAbsolute(path)) return path;
  throw invalidArgument(
    `Cannot send a container's output to ${JSON.stringify(path)}: want an absolute path`,
    {
      subject: path,
      reason: "io-invalid",
    },
  );
}

function withoutCopying(output: string): OpenIo {
  return {
    stdin: "",
    stdout: output,
    stderr: output,
    isTerminal: false,
    finished: Promise.resolve(),
    startInput: () => undefined,
    onStdinEnd: undefined,
    stop: () => undefined,
    close: async () => undefined,
  };
}

class StreamCopy implements OpenIo {
  readonly stdin: string;
  readonly stdout: string;
  readonly stderr: string;
  readonly isTerminal: boolean;
  readonly finished: Promise<void>;
  onStdinEnd: (() => void) | undefined;
  readonly #outputs: Socket[] = [];
  readonly #input: { readonly source: Readable; readonly target: Writable } | undefined;
  readonly #remove: () => Promise<void>;
  #isInputEnded = false;

  constructor(streams: StreamIo, paths: FifoPaths, remove: () => Promise<void>) {
    this.stdin = paths.stdin;
    this.stdout = paths.stdout;
    this.stderr = paths.stderr;
    this.isTerminal = streams.isTerminal === true;
    this.#remove = remove;
    const copies = [this.#output(paths.stdout, streams.stdout)];
    if (paths.stderr !== "") copies.push(this.#output(paths.stderr, streams.stderr));
    this.finished = Promise.all(copies).then(() => undefined);
    if (paths.stdin !== "" && streams.stdin !== undefined) {
      this.#input = { source: streams.stdin, target: openFifoWriter(paths.stdin) };
    }
  }

  stop(): void {
    for (const socket of this.#outputs) socket.destroy();
    if (this.#input === undefined) return;
    this.#input.source.unpipe(this.#input.target);
    // A source that still flows would keep the process alive.
    this.#input.source.pause();
    this.#input.target.destroy();
  }

  async close(): Promise<void> {
    this.stop();
    await this.#remove();
  }

  async #output(path: string, target: Writable | undefined): Promise<void> {
    const socket = openFifoReader(path);
    this.#outputs.push(socket);
    await new Promise<void>((resolve) => {
      // `close` also follows an error and destroy(): the process has no more to say then.
      socket.once("close", () => resolve());
      socket.on("error", () => undefined);
      if (target === undefined) socket.resume();
      else {
        socket.pipe(target, { end: false });
        // A reader that has gone (`| head`) must not block the container.
        target.once("error", () => {
          socket.unpipe(target);
          socket.resume();
        });
      }
    });
  }

  startInput(): void {
    if (this.#input === undefined) return;
    const { source, target } = this.#input;
    const end = (): void => {
      if (this.#isInputEnded) return;
      this.#isInputEnded = true;
      this.onStdinEnd?.();
    };
    target.on("error", () => source.unpipe(target));
    target.once("finish", end);
    source.pipe(target);
  }
}
