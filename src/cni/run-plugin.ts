import { spawn } from "node:child_process";
import { access, constants } from "node:fs/promises";
import { join } from "node:path";
import { linkSignals } from "../async/index.js";
import { parseJson } from "../bytes/index.js";
import {
  deadlineExceeded,
  failedPrecondition,
  internal,
  type LazuliError,
  notFound,
} from "../errors/index.js";
import { JSON_BUDGET, OUTPUT_BYTES_MAX, PLUGIN_TIMEOUT_MS } from "./limits.js";

export type CniCommand = "ADD" | "DEL" | "CHECK" | "GC" | "STATUS" | "VERSION";

export interface RunPluginOptions {
  readonly type: string;
  /** Searched in this order. */
  readonly folders: readonly string[];
  readonly command: CniCommand;
  /** The variables CNI_* beside CNI_COMMAND and CNI_PATH. */
  readonly environment: Readonly<Record<string, string>>;
  /** Goes to the plugin's standard input. */
  readonly conf: Readonly<Record<string, unknown>>;
  readonly signal?: AbortSignal | undefined;
}

/** The error code of SPEC.md for "try again later". */
const TRY_AGAIN = 11;
const STDERR_BYTES_KEPT = 4096;

/**
 * Runs one plugin and gives what it printed; an empty object where it printed nothing.
 *
 * @throws NOT_FOUND `cni-plugin-missing`; DEADLINE_EXCEEDED; INTERNAL `cni-plugin-failed` with the plugin's words
 */
export async function runPlugin(options: RunPluginOptions): Promise<Readonly<Record<string, unknown>>> {
  const path = await findPlugin(options.type, options.folders);
  using limits = linkSignals([options.signal], PLUGIN_TIMEOUT_MS);
  const { code, output, stderr, isTooLong } = await run(path, options, limits.signal);
  if (isTooLong) throw pluginFailed(options, `more than ${OUTPUT_BYTES_MAX} bytes of output`);
  if (limits.signal.aborted) {
    options.signal?.throwIfAborted();
    throw deadlineExceeded(
      `Cannot run the network plugin ${options.type}: want an end within ${PLUGIN_TIMEOUT_MS / 1000} s`,
      { subject: options.type, reason: "cni-plugin-timeout" },
    );
  }
  const printed = objectIn(output);
  if (code !== 0)
    throw pluginFailed(options, wordsOf(printed, stderr, code), printed?.["code"] === TRY_AGAIN);
  if (output.length > 0 && printed === undefined)
    throw pluginFailed(options, "an answer that is no JSON object");
  return printed ?? {};
}

/** The plugin's program. @throws NOT_FOUND `cni-plugin-missing` */
export async function findPlugin(type: string, folders: readonly string[]): Promise<string> {
  for (const folder of folders) {
    const path = join(folder, type);
    const isThere = await access(path, constants.X_OK).then(
      () => true,
      () => false, // Looked for in the next folder.
    );
    if (isThere) return path;
  }
  throw notFound(
    `Cannot run the network plugin ${type}: want it in ${folders.join(" or ")}, got none there`,
    {
      subject: type,
      reason: "cni-plugin-missing",
      hint: "Install the plugin (Debian: containernetworking-plugins), or name its folder in [cri.cni] bin_dirs",
    },
  );
}

interface Outcome {
  readonly code: number | null;
  readonly output: Buffer;
  readonly stderr: string;
  readonly isTooLong: boolean;
}

async function run(path: string, options: RunPluginOptions, signal: AbortSignal): Promise<Outcome> {
  signal.throwIfAborted();
  const { command, environment, folders, conf } = options;
  const child = spawn(path, [], {
    stdio: ["pipe", "pipe", "pipe"],
    // A group of its own: what the plugin started ends with it, and does not hold the pipes.
    detached: true,
    env: { ...process.env, ...environment, CNI_COMMAND: command, CNI_PATH: folders.join(":") },
  });
  const kill = (): void => killGroup(child.pid);
  signal.addEventListener("abort", kill, { once: true });
  const pieces: Buffer[] = [];
  let bytes = 0;
  let stderr = "";
  child.stdout.on("data", (piece: Buffer) => {
    bytes += piece.length;
    if (bytes > OUTPUT_BYTES_MAX) kill();
    else pieces.push(piece);
  });
  child.stderr.on("data", (piece: Buffer) => {
    stderr = (stderr + piece.toString("latin1")).slice(-STDERR_BYTES_KEPT);
  });
  // A plugin that ends without reading its input closes the pipe; its exit code tells what is wrong.
  child.stdin.on("error", () => undefined);
  child.stdin.end(JSON.stringify(conf));
  try {
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once("error", (thrown) =>
        reject(
          failedPrecondition(`Cannot start the network plugin ${path}: ${thrown.message}`, {
            subject: path,
            reason: "cni-plugin-not-started",
            cause: thrown,
          }),
        ),
      );
      child.once("close", resolve);
    });
    return { code, output: Buffer.concat(pieces), stderr, isTooLong: bytes > OUTPUT_BYTES_MAX };
  } finally {
    signal.removeEventListener("abort", kill);
  }
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // It has ended by itself.
  }
}

function objectIn(output: Buffer): Readonly<Record<string, unknown>> | undefined {
  if (output.length === 0) return undefined;
  try {
    const value = parseJson(output, JSON_BUDGET);
    return typeof value === "object" && value !== null
      ? (value as Readonly<Record<string, unknown>>)
      : undefined;
  } catch {
    // The caller tells that it is no JSON.
    return undefined;
  }
}

/** SPEC.md "Error": code, msg, details. */
function wordsOf(
  printed: Readonly<Record<string, unknown>> | undefined,
  stderr: string,
  code: number | null,
): string {
  const words = [printed?.["msg"], printed?.["details"]].filter(
    (one) => typeof one === "string" && one !== "",
  );
  if (words.length > 0) return words.join("; ");
  return stderr.trim() === "" ? `exit code ${code ?? "of a signal"}` : stderr.trim();
}

function pluginFailed({ type, command }: RunPluginOptions, words: string, canTryAgain = false): LazuliError {
  return internal(`plugin type=${JSON.stringify(type)} failed (${command.toLowerCase()}): ${words}`, {
    subject: type,
    reason: canTryAgain ? "cni-plugin-busy" : "cni-plugin-failed",
  });
}
