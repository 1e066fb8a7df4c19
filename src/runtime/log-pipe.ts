import { close as closeFile, constants, fstat, open as openFile } from "node:fs";
import { Socket } from "node:net";
import { promisify } from "node:util";
import { failedPrecondition } from "../errors/index.js";
import type { NativeBinding } from "../fuse/index.js";
import { type LogLevel, log } from "../observe/index.js";

export type FifoBinding = Pick<NativeBinding, "makeFifo">;

/** Characters of a line; what is longer is cut into more lines. */
const LINE_LENGTH_MAX = 16 * 1024;

const levels: Readonly<Record<string, LogLevel>> = {
  trace: "debug",
  debug: "debug",
  info: "info",
  warning: "warn",
  error: "error",
  fatal: "error",
  panic: "error",
};

/**
 * Reads a shim's log, a FIFO in its bundle, into ours. It is open for writing too, so that it never ends: shims open
 * and close it as they like, and one that finds no reader would wait.
 */
export async function openLogPipe(options: {
  readonly path: string;
  readonly id: string;
  readonly binding: FifoBinding;
}): Promise<Disposable> {
  const { path, id, binding } = options;
  makeFifo(binding, path);
  const descriptor = await promisify(openFile)(path, constants.O_RDWR | constants.O_NONBLOCK);
  const facts = await promisify(fstat)(descriptor);
  if (!facts.isFIFO()) {
    await promisify(closeFile)(descriptor);
    throw failedPrecondition(`Cannot read ${path}: want a FIFO, got another file`, {
      subject: path,
      reason: "bundle-invalid",
    });
  }
  const pipe = new Socket({ fd: descriptor, readable: true, writable: false });
  // What a shim logs is a help for people: to lose it changes nothing for the tasks.
  pipe.on("error", (error) => log.warn("Cannot read the log of a shim", { id, error: error.message }));
  readLines(pipe, id);
  return { [Symbol.dispose]: () => pipe.destroy() };
}

const PRIVATE_MODE = 0o700;

function makeFifo(binding: FifoBinding, path: string): void {
  try {
    binding.makeFifo(path, PRIVATE_MODE);
  } catch (thrown) {
    // A bundle from before our start has it.
    if ((thrown as NodeJS.ErrnoException).code !== "EEXIST") throw thrown;
  }
}

function readLines(pipe: Socket, id: string): void {
  let rest = "";
  pipe.setEncoding("utf8").on("data", (text: string) => {
    const lines = `${rest}${text}`.split("\n");
    rest = lines.pop() ?? "";
    if (rest.length > LINE_LENGTH_MAX) {
      lines.push(rest);
      rest = "";
    }
    for (const line of lines) write(line, id);
  });
}

function write(line: string, id: string): void {
  if (line.trim() === "") return;
  const level = levels[/\blevel"?[=:]"?([a-z]+)/.exec(line)?.[1] ?? ""] ?? "info";
  log[level]("A shim says", { id, text: line.slice(0, LINE_LENGTH_MAX) });
}
