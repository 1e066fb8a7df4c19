import { spawn } from "node:child_process";
import { type LazuliError, unavailable } from "../errors/index.js";
import { CREDENTIAL_BYTES_MAX, CREDENTIAL_TIMEOUT_MS } from "./limits.js";

export interface CredentialProgram {
  /** A path, or a name that is looked for in PATH. */
  readonly program: string;
  readonly args: readonly string[];
  readonly input: string;
  /** All that the program gets of an environment. */
  readonly environment: Readonly<Record<string, string>>;
  /** What an operator may try when it fails. */
  readonly hint: string;
  readonly signal: AbortSignal | undefined;
}

/**
 * Runs a program that prints a secret: bounded in time and output, in a process group of its own, without our
 * environment. What it writes to stderr may quote the secret and is thrown away. @throws UNAVAILABLE
 */
export async function runCredentialProgram(
  options: CredentialProgram,
): Promise<{ code: number; output: string }> {
  const { program, args, input, environment, signal } = options;
  signal?.throwIfAborted();
  const child = spawn(program, args, {
    cwd: "/",
    env: environment,
    stdio: ["pipe", "pipe", "ignore"],
    // A group of its own: what the program started ends with it.
    detached: true,
  });
  const pieces: Buffer[] = [];
  let bytes = 0;
  let isLate = false;
  const kill = (): void => {
    killGroup(child.pid);
    // Whoever left the group may hold the pipe, and write into it for ever.
    child.stdout.destroy();
  };
  const timer = setTimeout(() => {
    isLate = true;
    kill();
  }, CREDENTIAL_TIMEOUT_MS);
  signal?.addEventListener("abort", kill, { once: true });
  child.stdout.on("data", (piece: Buffer) => {
    bytes += piece.length;
    if (bytes > CREDENTIAL_BYTES_MAX) kill();
    else pieces.push(piece);
  });
  // One that ends without reading its input closes the pipe; its exit code tells what is wrong.
  child.stdin.on("error", () => undefined);
  child.stdin.end(input);
  try {
    const code = await new Promise<number>((resolve, reject) => {
      // The error of a spawn lists the arguments.
      child.once("error", () => reject(programFailed(options, "a program that does not start")));
      child.once("close", (exitCode) => resolve(exitCode ?? -1));
    });
    signal?.throwIfAborted();
    if (isLate) throw programFailed(options, `no answer in ${CREDENTIAL_TIMEOUT_MS} ms`);
    if (bytes > CREDENTIAL_BYTES_MAX) throw programFailed(options, "an answer that is too long");
    return { code, output: Buffer.concat(pieces).toString("utf8") };
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", kill);
  }
}

export function programFailed(
  { program, hint }: Pick<CredentialProgram, "program" | "hint">,
  actual: string,
): LazuliError {
  return unavailable(`Cannot get credentials from "${program}": want them as JSON, got ${actual}`, {
    subject: program,
    reason: "credential-helper-failed",
    hint,
  });
}

/** Names of our environment that such programs need to find their files, their proxy and their own programs. */
const passedNames = [
  "PATH",
  "HOME",
  "USER",
  "LOGNAME",
  "LANG",
  "TZ",
  "TMPDIR",
  "XDG_RUNTIME_DIR",
  "XDG_CONFIG_HOME",
  "DOCKER_CONFIG",
  "HTTP_PROXY",
  "HTTPS_PROXY",
  "NO_PROXY",
  "http_proxy",
  "https_proxy",
  "no_proxy",
  "SSL_CERT_FILE",
  "SSL_CERT_DIR",
];

export function cleanEnvironment(): Record<string, string> {
  const kept = passedNames.map((name) => [name, process.env[name]] as const);
  return Object.fromEntries(kept.filter((pair): pair is [string, string] => pair[1] !== undefined));
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // All of them have ended.
  }
}
