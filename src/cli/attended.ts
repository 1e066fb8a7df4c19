import { type ContainerProcess, LazuliError, type StreamIo } from "../client/index.js";
import { DetachFilter, followSize, forwardSignals, rawTerminal } from "./terminal.js";

export interface AttendedStreams {
  readonly io: StreamIo;
  /** Resolves when the user has typed the keys to leave. */
  readonly detached: Promise<void>;
}

/** This process's streams for a container: with a terminal, the keys to leave are looked for. */
export function ownStreams(wanted: {
  readonly hasStdin: boolean;
  readonly isTerminal: boolean;
}): AttendedStreams {
  const { hasStdin, isTerminal } = wanted;
  let leave: () => void = () => undefined;
  const detached = new Promise<void>((resolve) => {
    leave = resolve;
  });
  const stdin = isTerminal ? process.stdin.pipe(new DetachFilter(() => leave())) : process.stdin;
  const io: StreamIo = {
    kind: "streams",
    stdin: hasStdin ? stdin : undefined,
    stdout: process.stdout,
    stderr: process.stderr,
    isTerminal,
  };
  return { io, detached };
}

export interface AttendOptions {
  readonly process: ContainerProcess;
  readonly streams: AttendedStreams;
  /** Runs it; absent for one that runs already. */
  readonly start?: () => Promise<unknown>;
}

/** Stays with a process until it ends or the user leaves. @returns its exit code; undefined when the user left */
export async function attend(options: AttendOptions): Promise<number | undefined> {
  const { process: target, streams } = options;
  const isTerminal = streams.io.isTerminal === true;
  const ended = target.wait();
  // Told by whoever awaits it below, unless starting fails first.
  ended.catch(() => undefined);
  await options.start?.();
  using _raw = isTerminal && streams.io.stdin !== undefined ? rawTerminal() : undefined;
  using _size = isTerminal ? followSize(target) : undefined;
  using _signals = forwardSignals(target);
  const left = streams.detached.then(() => undefined);
  const exit = await Promise.race([ended, left]);
  if (exit === undefined) {
    target.detach();
    return undefined;
  }
  await target.outputFinished;
  return exit.code;
}

/** What shells say of a program that can't be run: 127 for none, 126 for one that may not. */
export function startFailure(thrown: unknown): number | undefined {
  if (!(thrown instanceof LazuliError)) return undefined;
  if (/executable file not found|no such file or directory/.test(thrown.message)) return 127;
  return /permission denied|exec format error/.test(thrown.message) ? 126 : undefined;
}
