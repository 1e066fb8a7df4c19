import { spawn } from "node:child_process";
import { linkSignals, withSignal } from "../async/index.js";
import { deadlineExceeded, failedPrecondition, resourceExhausted } from "../errors/index.js";

export interface RunProgramOptions {
  readonly program: string;
  readonly args: readonly string[];
  readonly folder: string;
  readonly env: NodeJS.ProcessEnv;
  readonly stdin: Uint8Array;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

export interface ProgramResult {
  /** 128 and the number of a signal are not told apart from an exit code: both are failures. */
  readonly isSuccess: boolean;
  /** As Go says it: `exit status 2`, `signal: killed`. */
  readonly exitText: string;
  readonly stdout: Buffer;
  /** The end of what it printed for people. */
  readonly stderr: string;
}

/** Bytes that a shim may print on one of its outputs; one that prints more is ended. Real ones print under 200. */
const OUTPUT_BYTES_MAX = 1024 * 1024;
/** Wait for the rest of the output after the program has ended: a child of it may hold the pipes forever. */
const DRAIN_MS = 500;

/**
 * Runs a command of a shim to its end, in a session of its own, so that no signal of our terminal reaches what it
 * starts. @throws DEADLINE_EXCEEDED (reason `shim-slow`); FAILED_PRECONDITION when it can't be started; RESOURCE_EXHAUSTED
 */
export async function runProgram(options: RunProgramOptions): Promise<ProgramResult> {
  const { program, args, folder, env, stdin, timeoutMs, signal } = options;
  signal?.throwIfAborted();
  const command = `${program} ${args.at(-1) ?? ""}`;
  const child = spawn(program, args, { cwd: folder, env, detached: true, stdio: ["pipe", "pipe", "pipe"] });
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  let bytes = 0;
  const collect =
    (chunks: Buffer[]) =>
    (chunk: Buffer): void => {
      bytes += chunk.length;
      if (bytes <= OUTPUT_BYTES_MAX) chunks.push(chunk);
      else kill(child.pid);
    };
  child.stdout.on("data", collect(stdout));
  child.stderr.on("data", collect(stderr));
  // A program that does not read its input ends the pipe; its exit code tells what matters.
  child.stdin.on("error", () => undefined);
  child.stdin.end(stdin);
  const ended = new Promise<Pick<ProgramResult, "isSuccess" | "exitText">>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, name) =>
      resolve({ isSuccess: code === 0, exitText: name === null ? `exit status ${code}` : `signal: ${name}` }),
    );
    child.once("exit", () => {
      setTimeout(() => {
        child.stdout.destroy();
        child.stderr.destroy();
      }, DRAIN_MS).unref();
    });
  });
  ended.catch(() => undefined);
  using limit = linkSignals([signal], timeoutMs);
  try {
    const exit = await withSignal(ended, limit.signal);
    if (bytes > OUTPUT_BYTES_MAX) {
      throw resourceExhausted(
        `Cannot run ${command}: want at most ${OUTPUT_BYTES_MAX} bytes of output, got more`,
        {
          subject: program,
          reason: "shim-output-too-long",
        },
      );
    }
    return { ...exit, stdout: Buffer.concat(stdout), stderr: Buffer.concat(stderr).toString("utf8") };
  } catch (thrown) {
    kill(child.pid);
    if (thrown instanceof DOMException && thrown.name === "TimeoutError" && signal?.aborted !== true) {
      throw deadlineExceeded(`Cannot run ${command}: want its end within ${timeoutMs} ms, got none`, {
        subject: program,
        reason: "shim-slow",
        cause: thrown,
      });
    }
    if (thrown instanceof Error && "syscall" in thrown) {
      throw failedPrecondition(`Cannot run ${command}: ${thrown.message}`, {
        subject: program,
        reason: "shim-unstartable",
        cause: thrown,
      });
    }
    throw thrown;
  }
}

/** Ends the program and what it has started that is still in its session. */
function kill(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // All of them have ended.
  }
}
