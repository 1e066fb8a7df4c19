import { spawn } from "node:child_process";
import { failedPrecondition, unavailable } from "../errors/index.js";
import type { Credential } from "./credential.js";
import { CREDENTIAL_BYTES_MAX, CREDENTIAL_TIMEOUT_MS } from "./limits.js";

/** The helper's own word for "no credentials here" (docker-credential-helpers protocol). */
const NOT_FOUND_TEXT = "credentials not found in native keychain";

/** The user name that marks a secret as an identity token. */
const TOKEN_USERNAME = "<token>";

/**
 * Runs `docker-credential-<helper> get`, which reads the server's name from stdin and answers JSON. Undefined when the
 * helper knows none. Nothing of what it prints gets into an error. @throws FAILED_PRECONDITION, UNAVAILABLE
 */
export async function askCredentialHelper(options: {
  helper: string;
  server: string;
  signal?: AbortSignal | undefined;
}): Promise<Credential | undefined> {
  const { helper, server, signal } = options;
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(helper)) {
    throw failedPrecondition("Cannot run the credential helper: want a plain name, got something else", {
      reason: "credential-helper-invalid",
    });
  }
  const program = `docker-credential-${helper}`;
  const { code, output } = await run({ program, input: server, signal });
  if (code !== 0) {
    if (output.includes(NOT_FOUND_TEXT)) return undefined;
    throw helperFailed(program, `exit code ${code}`);
  }
  let answer: unknown;
  try {
    answer = JSON.parse(output);
  } catch {
    // The parser's message quotes its input, which is a secret.
    throw helperFailed(program, "an answer that is not JSON");
  }
  const { Username: username, Secret: secret } = (answer ?? {}) as Record<string, unknown>;
  if (typeof username !== "string" || typeof secret !== "string") {
    throw helperFailed(program, "an answer without Username and Secret");
  }
  if (secret === "") return undefined;
  if (username === TOKEN_USERNAME) return { kind: "identity-token", identityToken: secret };
  return { kind: "password", username, password: secret };
}

interface Run {
  readonly program: string;
  readonly input: string;
  readonly signal: AbortSignal | undefined;
}

async function run({ program, input, signal }: Run): Promise<{ code: number; output: string }> {
  signal?.throwIfAborted();
  const child = spawn(program, ["get"], {
    stdio: ["pipe", "pipe", "ignore"],
    // A group of its own: what the helper started ends with it.
    detached: true,
  });
  const pieces: Buffer[] = [];
  let bytes = 0;
  const kill = (): void => {
    killGroup(child.pid);
    // Whoever left the group may hold the pipe, and write into it for ever.
    child.stdout.destroy();
  };
  const timer = setTimeout(kill, CREDENTIAL_TIMEOUT_MS);
  signal?.addEventListener("abort", kill, { once: true });
  child.stdout.on("data", (piece: Buffer) => {
    bytes += piece.length;
    if (bytes > CREDENTIAL_BYTES_MAX) kill();
    else pieces.push(piece);
  });
  // A helper that ends without reading its input closes the pipe; its exit code tells what is wrong.
  child.stdin.on("error", () => undefined);
  child.stdin.end(`${input}\n`);
  try {
    const code = await new Promise<number>((resolve, reject) => {
      child.once("error", () => reject(helperFailed(program, "a program that does not start")));
      child.once("close", (exitCode) => resolve(exitCode ?? -1));
    });
    signal?.throwIfAborted();
    if (bytes > CREDENTIAL_BYTES_MAX) throw helperFailed(program, "an answer that is too long");
    return { code, output: Buffer.concat(pieces).toString("utf8") };
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", kill);
  }
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // All of them have ended.
  }
}

function helperFailed(program: string, actual: string) {
  return unavailable(`Cannot get credentials from "${program}": want them as JSON, got ${actual}`, {
    subject: program,
    reason: "credential-helper-failed",
    hint: `Run "${program} list" as the daemon's user`,
  });
}
