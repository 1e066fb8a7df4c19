import { spawn } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { homedir } from "node:os";
import { delimiter, dirname, join, resolve } from "node:path";
import {
  type BenchStartOptions,
  benchStart,
  type Contestant,
  catalogue,
  contestants,
  type LinkShape,
  type Programs,
  type Ready,
  type Workload,
} from "../bench/index.js";
import { failedPrecondition } from "../errors/index.js";
import { writeReport } from "./bench-output.js";
import type { CommandInput, CommandResult } from "./command.js";
import { numberOption, usageError } from "./image-options.js";
import { signalled } from "./signalled.js";

/** Set for the process that has mounts of its own. */
const INSIDE = "LAZULI_BENCH_INSIDE";

const quick = {
  workloads: ["redis", "nginx"],
  contestants: ["containerd", "lazuli-estargz", "daemon-estargz-profile", "soci-snapshotter"],
};
const SWEEP_RTT_MS = [1, 20, 80];
const SEED_MAX = 2 ** 31;

export async function runBenchStart(input: CommandInput): Promise<CommandResult> {
  if (process.getuid?.() !== 0) {
    throw failedPrecondition("Cannot measure starts: want to be root", {
      reason: "root-wanted",
      hint: "It mounts, and starts containers",
    });
  }
  const options = optionsOf(input);
  if (input.environment[INSIDE] === undefined) {
    return { data: undefined, text: "", isPrinted: true, exitCode: await runInside() };
  }
  using stop = signalled();
  endWithReader();
  input.tell(`seed ${options.seed}`);
  const report = await benchStart({ ...options, tell: input.tell, signal: stop.signal });
  return await writeReport(input, report);
}

/** Nobody reads any more, or the terminal was closed: cleans up as if it was interrupted. */
function endWithReader(): void {
  let isTold = false;
  const end = (): void => {
    if (!isTold) process.kill(process.pid, "SIGTERM");
    isTold = true;
  };
  process.on("SIGHUP", end);
  for (const stream of [process.stdout, process.stderr]) stream.on("error", end);
}

/**
 * The same command in a mount namespace of its own, where it can cover files of the machine. What others unmount meanwhile
 * goes there as well: it would be held otherwise.
 */
async function runInside(): Promise<number> {
  const words = [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  const child = spawn("unshare", ["--mount", "--propagation", "slave", "--", ...words], {
    stdio: "inherit",
    env: { ...process.env, [INSIDE]: "1" },
  });
  // A terminal interrupts both; this one waits until the other has cleaned up.
  const onInterrupt = (): void => undefined;
  const onTerminate = (): void => void child.kill("SIGTERM");
  process.on("SIGINT", onInterrupt).on("SIGTERM", onTerminate);
  try {
    return await new Promise<number>((done, failed) => {
      child.once("error", failed);
      child.once("exit", (code) => done(code ?? 1));
    });
  } finally {
    process.off("SIGINT", onInterrupt).off("SIGTERM", onTerminate);
  }
}

function optionsOf(input: CommandInput): Omit<BenchStartOptions, "tell" | "signal"> {
  const isQuick = input.options.quick !== undefined;
  const { environment, options } = input;
  const cache = environment.XDG_CACHE_HOME || join(environment.HOME ?? homedir(), ".cache");
  const rounds = numberOption(input, "rounds") ?? (isQuick ? 1 : 5);
  if (rounds === 0) throw usageError("want at least one of --rounds");
  return {
    workloads: workloadsOf(input, isQuick),
    contestants: contestantsOf(input, isQuick),
    rounds,
    links: linksOf(input),
    seed: numberOption(input, "seed") ?? Math.floor(Math.random() * SEED_MAX),
    concurrent: numberOption(input, "concurrent"),
    mounted: numberOption(input, "mounted"),
    cacheFolder: resolve(options.cache?.at(-1) ?? join(cache, "lazuli", "bench")),
    programs: programsOf(input),
  };
}

function workloadsOf(input: CommandInput, isQuick: boolean): readonly Workload[] {
  const { image, command, ready, workload } = input.options;
  if (image !== undefined) {
    if (workload !== undefined) throw usageError("want --image or --workload, got both");
    const [reference] = image;
    return [
      {
        name: reference!,
        command: command === undefined ? undefined : wordsOf(command.at(-1)!),
        ready: readyOf(ready?.at(-1) ?? "exit"),
        origin: { kind: "named", reference: reference! },
      },
    ];
  }
  if (command !== undefined || ready !== undefined)
    throw usageError("want --image beside --command or --ready");
  const names = workload ?? (isQuick ? quick.workloads : undefined);
  return named(catalogue, names, "--workload");
}

function contestantsOf(input: CommandInput, isQuick: boolean): readonly Contestant[] {
  const names = input.options.contestant ?? (isQuick ? quick.contestants : undefined);
  return named(contestants, names, "--contestant");
}

function named<Value extends { readonly name: string }>(
  all: readonly Value[],
  names: readonly string[] | undefined,
  option: string,
): readonly Value[] {
  if (names === undefined) return all;
  return [...new Set(names)].map((name) => {
    const found = all.find((one) => one.name === name);
    if (found !== undefined) return found;
    throw usageError(`want ${option} of ${all.map((one) => one.name).join(", ")}, got ${name}`);
  });
}

function wordsOf(text: string): readonly string[] {
  if (!text.startsWith("[")) return text.split(/\s+/).filter((word) => word !== "");
  const words: unknown = JSON.parse(text);
  if (Array.isArray(words) && words.every((word) => typeof word === "string")) return words;
  throw usageError("want words or a JSON list of texts for --command");
}

function readyOf(text: string): Ready {
  if (text === "exit") return { kind: "exit" };
  if (text.startsWith("line:") && text.length > 5) return { kind: "line", text: text.slice(5) };
  const port = /^port:([0-9]{1,5})$/.exec(text)?.[1];
  if (port !== undefined) return { kind: "port", port: Number(port) };
  throw usageError(`want --ready exit, line:TEXT or port:N, got ${text}`);
}

function linksOf(input: CommandInput): readonly LinkShape[] {
  const bandwidth = numberOption(input, "bandwidth") ?? 400;
  if (bandwidth === 0) throw usageError("want a --bandwidth above 0");
  const times = input.options["sweep-rtt"] === undefined ? [numberOption(input, "rtt") ?? 20] : SWEEP_RTT_MS;
  return times.map((rttMs) => ({
    rttMs,
    bitsPerSecond: bandwidth * 1e6,
    jitterMs: numberOption(input, "jitter") ?? 0,
    breakEveryBytes: numberOption(input, "break-every"),
  }));
}

function programsOf({ options }: CommandInput): Programs {
  const absolute = (path: string | undefined): string | undefined =>
    path === undefined ? undefined : resolve(path);
  const soci = findProgram("soci-snapshotter-grpc");
  return {
    lazuli: [process.execPath, ...process.execArgv, process.argv[1]!],
    newerContainerd: absolute(options.containerd?.at(-1)),
    soci: absolute(options.soci?.at(-1)) ?? (soci === undefined ? undefined : dirname(soci)),
    stargz: absolute(options.stargz?.at(-1)) ?? findProgram("containerd-stargz-grpc"),
  };
}

function findProgram(name: string): string | undefined {
  return (process.env.PATH ?? "")
    .split(delimiter)
    .map((folder) => join(folder, name))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK);
        return true;
      } catch {
        // It is not in this folder.
        return false;
      }
    });
}
