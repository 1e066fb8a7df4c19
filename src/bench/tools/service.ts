import { type ChildProcess, spawn } from "node:child_process";
import { createWriteStream } from "node:fs";
import { readFile } from "node:fs/promises";
import { connect } from "node:net";
import { delay } from "../../async/index.js";
import { unavailable } from "../../errors/index.js";

export interface ServiceOptions {
  readonly program: string;
  readonly args: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  /** File that takes stdout and stderr. */
  readonly logFile: string;
  /** A Unix socket path or a TCP port of 127.0.0.1 that answers when it is ready. */
  readonly ready: string | number;
}

export interface Service {
  readonly pid: number;
  readonly process: ChildProcess;
  /** Sends a signal and waits for the end of the process. */
  stop(signal?: NodeJS.Signals): Promise<void>;
}

const READY_TRIES = 1200;
const READY_PAUSE_MS = 50;
/** What an error tells of a log. */
const TAIL_CHARACTERS = 500;

/** Starts a program that goes on running, and waits until its address takes connections. */
export async function startService(options: ServiceOptions): Promise<Service> {
  const log = createWriteStream(options.logFile, { flags: "a" });
  const child = spawn(options.program, options.args, {
    env: { ...process.env, ...options.env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  child.stdout.pipe(log, { end: false });
  child.stderr.pipe(log, { end: false });
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const failed = new Promise<never>((_resolve, reject) => child.once("error", reject));
  failed.catch(() => undefined);
  for (let attempt = 0; !(await answers(options.ready)); attempt += 1) {
    if (child.exitCode !== null || child.signalCode !== null || attempt === READY_TRIES) {
      child.kill("SIGKILL");
      const told = await readFile(options.logFile, "utf8").catch(() => ""); // It ended before it said anything.
      const tail = told.trimEnd().slice(-TAIL_CHARACTERS);
      throw unavailable(`Cannot start ${options.program}: it did not get ready, and said last: ${tail}`, {
        subject: options.program,
        reason: "service-not-ready",
      });
    }
    await Promise.race([delay(READY_PAUSE_MS), failed]);
  }
  return {
    pid: child.pid!,
    process: child,
    stop: async (signal = "SIGTERM") => {
      if (child.exitCode === null && child.signalCode === null) child.kill(signal);
      await ended;
      log.end();
    },
  };
}

async function answers(address: string | number): Promise<boolean> {
  const socket = typeof address === "string" ? connect(address) : connect(address, "127.0.0.1");
  return await new Promise<boolean>((resolve) => {
    socket.once("connect", () => resolve(true));
    socket.once("error", () => resolve(false));
  }).finally(() => socket.destroy());
}
