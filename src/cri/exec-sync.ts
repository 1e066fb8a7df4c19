import type { ExecSyncRequest } from "../../gen/runtime/v1/api_pb.js";
import { within } from "./container-create.js";
import type { ContainerParts } from "./container-parts.js";
import { runExec } from "./exec.js";

/** Bytes of each output that are kept; the rest is read and dropped, so that the command goes on. */
const OUTPUT_BYTES_MAX = 16 * 1024 * 1024;
/** setTimeout() takes no more. */
const TIMEOUT_MS_MAX = 2 ** 31 - 1;

export interface ExecSyncResult {
  readonly stdout: Uint8Array;
  readonly stderr: Uint8Array;
  readonly exitCode: number;
}

/** ExecSync: a command with all of its output. @throws as runExec() */
export async function execSync(
  parts: ContainerParts,
  { containerId, cmd, timeout }: ExecSyncRequest,
  signal: AbortSignal,
): Promise<ExecSyncResult> {
  const stdout = new KeptOutput();
  const stderr = new KeptOutput();
  const timeoutMs = timeout <= 0n ? undefined : Math.min(Number(timeout) * 1000, TIMEOUT_MS_MAX);
  try {
    const exitCode = await runExec(parts, {
      containerId,
      command: cmd,
      isTerminal: false,
      streams: { stdin: undefined, stdout: stdout.take, stderr: stderr.take, resizes: undefined },
      timeoutMs,
      signal,
    });
    return { stdout: stdout.bytes(), stderr: stderr.bytes(), exitCode };
  } catch (thrown) {
    throw within("failed to exec in container", thrown);
  }
}

class KeptOutput {
  readonly #chunks: Uint8Array[] = [];
  #size = 0;

  readonly take = async (bytes: Uint8Array): Promise<void> => {
    const kept = bytes.subarray(0, OUTPUT_BYTES_MAX - this.#size);
    if (kept.length === 0) return;
    this.#chunks.push(kept);
    this.#size += kept.length;
  };

  bytes(): Uint8Array {
    return Buffer.concat(this.#chunks);
  }
}
