import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { delay } from "../../src/async/index.js";

export interface MeasuredRun {
  readonly seconds: number;
  /** Of all threads, user and system; what the last poll saw. */
  readonly cpuSeconds: number;
  readonly peakMiB: number;
}

const POLL_MS = 10;
/** Of /proc/<pid>/stat; Linux has it at 100 everywhere. */
const TICKS_PER_SECOND = 100;

/** Runs a program to its end and measures it. What it prints is thrown away unless it fails. */
export async function measuredRun(
  program: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Promise<MeasuredRun> {
  const startMs = performance.now();
  const child = spawn(program, args, {
    stdio: ["ignore", "ignore", "pipe"],
    env: { ...process.env, ...env },
  });
  let told = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    told = `${told}${text}`.slice(-4000);
  });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", resolve);
  });
  let peakMiB = 0;
  let cpuSeconds = 0;
  let isRunning = true;
  const polled = (async () => {
    while (isRunning && child.pid !== undefined) {
      try {
        const status = await readFile(`/proc/${child.pid}/status`, "utf8");
        peakMiB = Math.max(peakMiB, Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1] ?? 0) / 1024);
        const stat = (await readFile(`/proc/${child.pid}/stat`, "utf8")).split(") ")[1]!.split(" ");
        cpuSeconds = Math.max(cpuSeconds, (Number(stat[11]) + Number(stat[12])) / TICKS_PER_SECOND);
      } catch {
        // It has ended between two reads.
      }
      await delay(POLL_MS);
    }
  })();
  const code = await ended;
  const seconds = (performance.now() - startMs) / 1000;
  isRunning = false;
  await polled;
  if (code !== 0) throw new Error(`${program} ${args.join(" ")} ended with ${code}:\n${told}`);
  return { seconds, cpuSeconds, peakMiB };
}
