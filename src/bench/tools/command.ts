import { spawn } from "node:child_process";
import { unavailable } from "../../errors/index.js";

export interface CommandOptions {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly signal?: AbortSignal;
  /** Exit codes that are no failure; default: 0 only. */
  readonly allow?: readonly number[];
}

export interface CommandResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end. A failure's message has the command and the end of what it printed. */
export async function command(
  program: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  const child = spawn(program, args, {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    stdio: ["ignore", "pipe", "pipe"],
    signal: options.signal,
  });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  const code = await new Promise<number>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (exit, signal) => resolve(exit ?? (signal === "SIGKILL" ? 137 : 143)));
  });
  if (code !== 0 && !(options.allow ?? []).includes(code)) {
    const tail = `${stdout}${stderr}`.slice(-2000);
    throw unavailable(`${program} ${args.join(" ")} ended with ${code}:\n${tail}`, {
      subject: program,
      reason: "program-failed",
    });
  }
  return { code, stdout, stderr };
}
