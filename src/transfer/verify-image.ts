import { spawn } from "node:child_process";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { linkSignals } from "../async/index.js";
import { deadlineExceeded, LazuliError, unavailable } from "../errors/index.js";
import { log } from "../observe/index.js";
import type { Descriptor } from "../oci/index.js";

export interface Judgement {
  readonly isAccepted: boolean;
  readonly reason: string;
}

/** Says whether an image may be pulled. */
export interface ImageVerifier {
  /** @throws what keeps it from judging: the image is not pulled then */
  judge(image: {
    readonly name: string;
    readonly descriptor: Descriptor;
    readonly signal: AbortSignal;
  }): Promise<Judgement>;
}

export interface FolderVerifierOptions {
  /** Its programs are run in the order of their names; a folder that is not there accepts all. */
  readonly folder: string;
  /** Programs that are run; those behind them are passed over with a warning. */
  readonly programsMax: number;
  readonly programTimeoutMs: number;
}

/** Bytes of a program's output that are kept. */
const OUTPUT_BYTES_MAX = 32 * 1024;

/** Programs in a folder, all of which must accept (containerd pkg/imageverifier/bindir). */
export function folderVerifier(options: FolderVerifierOptions): ImageVerifier {
  const { folder, programsMax } = options;
  return {
    judge: async ({ name, descriptor, signal }) => {
      const programs = await programsIn(folder);
      if (programs === undefined) {
        return { isAccepted: true, reason: `image verifier directory ${folder} does not exist` };
      }
      if (programs.length === 0) {
        return { isAccepted: true, reason: `no image verifier binaries found in ${folder}` };
      }
      if (programs.length > programsMax) {
        log.warn("Passed over image verifiers beyond the configured count", {
          folder,
          programs: programs.length,
          programsMax,
        });
      }
      const reasons: string[] = [];
      for (const program of programs.slice(0, programsMax)) {
        const { code, output } = await run(program, { ...options, name, descriptor, signal });
        if (code !== 0) {
          const reason = `verifier ${program} rejected image (exit code ${code}): ${output}`;
          return { isAccepted: false, reason };
        }
        reasons.push(`${program} => ${output}`);
      }
      return { isAccepted: true, reason: reasons.join(", ") };
    },
  };
}

async function programsIn(folder: string): Promise<readonly string[] | undefined> {
  try {
    return (await readdir(folder)).sort();
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw thrown;
  }
}

interface Run extends FolderVerifierOptions {
  readonly name: string;
  readonly descriptor: Descriptor;
  readonly signal: AbortSignal;
}

async function run(program: string, options: Run): Promise<{ code: number; output: string }> {
  const { folder, name, descriptor, programTimeoutMs } = options;
  using limit = linkSignals([options.signal], programTimeoutMs);
  const type = "application/vnd.oci.descriptor.v1+json";
  const words = ["-name", name, "-digest", descriptor.digest, "-stdin-media-type", type];
  // A process group of its own, which ends as a whole.
  const child = spawn(join(folder, program), words, { stdio: ["pipe", "pipe", "pipe"], detached: true });
  const kill = (): void => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
    } catch {
      // The group is gone already.
    }
    // Whoever has left the group may hold the pipes open.
    child.stdout.destroy();
    child.stderr.destroy();
  };
  limit.signal.addEventListener("abort", kill, { once: true });
  const output = kept(child.stdout);
  const errors = kept(child.stderr);
  // A program may judge without reading.
  child.stdin.on("error", () => undefined);
  child.stdin.end(`${JSON.stringify(descriptorJson(descriptor))}\n`);
  try {
    const code = await new Promise<number>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (exit, signal) => {
        if (exit === null) reject(unavailable(`waiting on command to exit: signal: ${signal}`));
        else resolve(exit);
      });
    });
    limit.signal.throwIfAborted();
    for (const line of errors().split("\n")) {
      if (line !== "") log.debug(line, { image_verifier: program, stream: "stderr" });
    }
    return { code, output: output().trim() };
  } catch (thrown) {
    options.signal.throwIfAborted();
    const facts = { subject: program, reason: "image-verifier-failed", cause: thrown };
    const prefix = `failed to call verifier ${program}`;
    if (limit.signal.aborted)
      throw deadlineExceeded(`${prefix}: it took above ${programTimeoutMs} ms`, facts);
    throw unavailable(`${prefix}: ${LazuliError.from(thrown).message}`, facts);
  } finally {
    limit.signal.removeEventListener("abort", kill);
    kill();
  }
}

function descriptorJson({ mediaType, digest, size, annotations }: Descriptor): object {
  return { mediaType, digest, size, ...(Object.keys(annotations).length === 0 ? {} : { annotations }) };
}

/** The beginning of a stream; the rest is read and let go, so that the program is not stopped by a full pipe. */
function kept(stream: NodeJS.ReadableStream): () => string {
  const pieces: Buffer[] = [];
  let bytes = 0;
  let isCut = false;
  stream.on("data", (piece: Buffer) => {
    const room = OUTPUT_BYTES_MAX - bytes;
    if (piece.length > room) isCut = true;
    if (room <= 0) return;
    pieces.push(piece.subarray(0, room));
    bytes += Math.min(piece.length, room);
  });
  return () => `${Buffer.concat(pieces).toString("utf8").trim()}${isCut ? "(stdout truncated)" : ""}`;
}
