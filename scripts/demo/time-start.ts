import { spawn } from "node:child_process";
import { performance } from "node:perf_hooks";

/** One start of a container, in milliseconds since its pull began. */
export interface Timeline {
  readonly pulledMs: number;
  readonly firstOutputMs: number;
  readonly endedMs: number;
  readonly bytesAtOutput: number;
}

/** Pulls, runs, and notes when the first output came and how many bytes had come over the link by then. */
export async function timeStart(options: {
  readonly pull: () => Promise<unknown>;
  readonly run: { readonly program: string; readonly args: readonly string[] };
  readonly bytesDown: () => number;
}): Promise<Timeline> {
  const bytesBefore = options.bytesDown();
  const started = performance.now();
  await options.pull();
  const pulledMs = performance.now() - started;
  const child = spawn(options.run.program, options.run.args, { stdio: ["ignore", "pipe", "pipe"] });
  let firstOutputMs: number | undefined;
  let bytesAtOutput = 0;
  let output = "";
  child.stdout.on("data", (bytes: Buffer) => {
    if (firstOutputMs === undefined) {
      firstOutputMs = performance.now() - started;
      bytesAtOutput = options.bytesDown() - bytesBefore;
    }
    output += bytes.toString();
  });
  child.stderr.on("data", (bytes: Buffer) => {
    output += bytes.toString();
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  const endedMs = performance.now() - started;
  if (code !== 0 || firstOutputMs === undefined) {
    throw new Error(`The container ended with ${code} and printed: ${output}`);
  }
  return { pulledMs, firstOutputMs, endedMs, bytesAtOutput };
}
