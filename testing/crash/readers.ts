import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import type { KnownFile } from "./takeover-rig.js";

const program = fileURLToPath(new URL("../../../testing/crash/readers.py", import.meta.url));

/** Longest wait for readers that were told to stop: one that is stuck is counted, not waited for. */
const STOP_WAIT_SECONDS = 30;

export interface ReaderFile extends KnownFile {
  /** Read one time, one time unless stopped before, or until stopped; the page cache loses it each time. */
  readonly mode: "all" | "once" | "again";
}

export interface ReadersResult {
  readonly files: number;
  readonly failed: readonly string[];
  readonly wrong: readonly string[];
  readonly stuck: number;
  readonly longestMs: number;
  /** Begin and end of reads that took long, in milliseconds since 1970. */
  readonly slow: readonly (readonly [number, number])[];
}

/** What tests count of them. */
export function readersFigures(readers: number, { files, failed, wrong, stuck }: ReadersResult) {
  return {
    readers,
    "files read": files,
    "failed reads": failed.length,
    "files with wrong bytes": wrong.length,
    "stuck readers": stuck,
  };
}

export interface Readers {
  readonly pid: number;
  stop(): Promise<ReadersResult>;
}

/** Starts a process with one reading thread for each list. */
export async function startReaders(options: {
  readonly listFile: string;
  readonly threads: readonly (readonly ReaderFile[])[];
}): Promise<Readers> {
  const { listFile, threads } = options;
  await writeFile(listFile, JSON.stringify(threads));
  const child = spawn("python3", [program, listFile, String(STOP_WAIT_SECONDS)], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    output += text;
  });
  await once(child.stdout, "data");
  return {
    pid: child.pid!,
    stop: async () => {
      const ended = once(child, "close");
      child.stdin.end("stop\n");
      await ended;
      return JSON.parse(output.slice(output.indexOf("\n") + 1)) as ReadersResult;
    },
  };
}

/**
 * From each of these moments to the first answer of a read that was waiting then, in milliseconds, the shortest first.
 * Without those where the next moment came before an answer.
 */
export function stallsAfter(moments: readonly number[], { slow }: ReadersResult): number[] {
  return moments
    .map((moment, index) => {
      const ends = slow.filter(([begin, end]) => begin < moment && end > moment).map(([, end]) => end);
      const first = Math.min(...ends);
      return first < (moments[index + 1] ?? Number.POSITIVE_INFINITY) ? first - moment : undefined;
    })
    .filter((stall) => stall !== undefined)
    .sort((a, b) => a - b);
}
