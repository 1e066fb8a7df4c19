import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { constants, openSync } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { Socket } from "node:net";
import { join } from "node:path";
import { Writable } from "node:stream";
import { promisify } from "node:util";
import { failedPrecondition } from "../errors/index.js";

const run = promisify(execFile);

/** Paths of a process's FIFOs as containerd's API names them; "" where there is none. */
export interface FifoPaths {
  readonly stdin: string;
  readonly stdout: string;
  readonly stderr: string;
}

export interface MakeFifosOptions {
  /** Below it a folder is made that only this user may enter. */
  readonly folder: string;
  /** Of the container or exec: part of the names. */
  readonly id: string;
  readonly hasStdin: boolean;
  /** A terminal has its errors in its output. */
  readonly isTerminal: boolean;
}

/** FIFOs in a private folder of their own; who made them removes them with `remove`. */
export async function makeFifos(options: MakeFifosOptions): Promise<FifoPaths & { remove(): Promise<void> }> {
  const folder = join(options.folder, randomBytes(8).toString("hex"));
  await mkdir(options.folder, { recursive: true, mode: 0o700 });
  await mkdir(folder, { mode: 0o700 });
  const path = (name: string, isWanted: boolean): string =>
    isWanted ? join(folder, `${options.id}-${name}`) : "";
  const paths = {
    stdin: path("stdin", options.hasStdin),
    stdout: path("stdout", true),
    stderr: path("stderr", !options.isTerminal),
  };
  try {
    await run("mkfifo", ["-m", "0600", ...Object.values(paths).filter((one) => one !== "")]);
  } catch (thrown) {
    await rm(folder, { recursive: true, force: true });
    throw failedPrecondition(`Cannot make FIFOs in ${folder}: ${String((thrown as Error).message)}`, {
      subject: folder,
      reason: "fifo-failed",
      hint: "The program mkfifo of coreutils must be there, and the folder must take FIFOs",
      cause: thrown,
    });
  }
  return { ...paths, remove: async () => await rm(folder, { recursive: true, force: true }) };
}

/** For reading; opens at once. The end comes when the last writer has closed it, and not before one has come. */
export function openFifoReader(path: string): Socket {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  return new Socket({ fd, readable: true, writable: false });
}

/**
 * For writing; opens at once, as it is open for reading as well: what is written before the shim reads waits in the
 * FIFO. Ending it closes the file, which tells a reader nothing as long as others have it open: CloseIO does that.
 */
export function openFifoWriter(path: string): Writable {
  const fd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  const socket = new Socket({ fd, readable: false, writable: true });
  const writable = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      socket.write(chunk, (error) => done(error ?? null));
    },
    final: (done) => {
      socket.destroy();
      done();
    },
    destroy: (error, done) => {
      socket.destroy();
      done(error);
    },
  });
  // A FIFO that breaks fails the write that is under way, which tells the stream.
  socket.on("error", (error) => writable.destroy(error));
  return writable;
}
