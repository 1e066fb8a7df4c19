import { readFile } from "node:fs/promises";
import { request } from "node:http";

/** Of Linux on all its architectures (USER_HZ): what /proc counts processor time in. */
const TICKS_PER_SECOND = 100;

export interface ProcessFigures {
  /** Processor time since their starts. */
  readonly cpuMs: number;
  readonly residentBytes: number;
}

/** Of several processes together. */
export async function processFigures(pids: readonly number[]): Promise<ProcessFigures> {
  let cpuMs = 0;
  let residentBytes = 0;
  for (const pid of pids) {
    const stat = await readFile(`/proc/${pid}/stat`, "utf8");
    // The name, which may have spaces, ends with the last bracket; utime and stime are fields 14 and 15 (proc(5)).
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    cpuMs += ((Number(fields[11]) + Number(fields[12])) * 1000) / TICKS_PER_SECOND;
    const status = await readFile(`/proc/${pid}/status`, "utf8");
    residentBytes += Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? 0) * 1024;
  }
  return { cpuMs, residentBytes };
}

/** @param socket of the page with metrics */
export async function metricsPage(socket: string): Promise<string> {
  return await new Promise<string>((resolve, reject) => {
    const sent = request({ socketPath: socket, path: "/metrics" }, (answer) => {
      let text = "";
      answer.setEncoding("utf8").on("data", (piece: string) => {
        text += piece;
      });
      answer.once("end", () => resolve(text)).once("error", reject);
    });
    sent.once("error", reject).end();
  });
}

/** The sum of a metric over its labels, or over those that begin so. */
export function metricSum(page: string, name: string, labels = ""): number {
  return page
    .split("\n")
    .filter((line) => line.startsWith(`${name}{${labels}`) || (labels === "" && line.startsWith(`${name} `)))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" "))), 0);
}
