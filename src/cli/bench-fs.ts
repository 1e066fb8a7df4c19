import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { benchFs, catalogue, fsOperations, type ImageOrigin, type PeerTree } from "../bench/index.js";
import { failedPrecondition } from "../errors/index.js";
import { writeReport } from "./bench-output.js";
import type { CommandInput, CommandResult } from "./command.js";
import { numberOption, usageError } from "./image-options.js";
import { signalled } from "./signalled.js";

/** Threads beyond this measure the scheduler. */
const JOBS_MAX = 64;

export async function runBenchFs(input: CommandInput): Promise<CommandResult> {
  const { environment, options } = input;
  const isQuick = options.quick !== undefined;
  const rounds = numberOption(input, "rounds") ?? (isQuick ? 1 : 5);
  if (rounds === 0) throw usageError("want at least one of --rounds");
  const facts = {
    origin: originOf(input),
    rounds,
    jobs: jobsOf(input, isQuick),
    operations: operationsOf(input),
    peers: (options.peer ?? []).map(peerOf),
    program: [process.execPath, ...process.execArgv, process.argv[1]!],
  };
  if (process.getuid?.() !== 0) {
    throw failedPrecondition("Cannot measure a file system: want to be root", {
      reason: "root-wanted",
      hint: "It mounts, and drops the kernel's caches",
    });
  }
  const cache = environment.XDG_CACHE_HOME || join(environment.HOME ?? homedir(), ".cache");
  const cacheFolder = resolve(options.cache?.at(-1) ?? join(cache, "lazuli", "bench"));
  using stop = signalled();
  return await writeReport(
    input,
    await benchFs({ ...facts, cacheFolder, tell: input.tell, signal: stop.signal }),
  );
}

function originOf({ options }: CommandInput): ImageOrigin {
  const [tree, reference] = [options.tree?.at(-1), options.image?.at(-1)];
  if (tree !== undefined && reference !== undefined) throw usageError("want --tree or --image, got both");
  if (tree !== undefined) return { kind: "tree", folder: resolve(tree) };
  if (reference !== undefined) return { kind: "image", reference };
  const name = options.workload?.at(-1) ?? "python";
  const workload = catalogue.find((one) => one.name === name);
  if (workload !== undefined) return { kind: "workload", workload };
  throw usageError(`want --workload of ${catalogue.map((one) => one.name).join(", ")}, got ${name}`);
}

function jobsOf({ options }: CommandInput, isQuick: boolean): readonly number[] {
  if (options.jobs === undefined) return isQuick ? [1] : [1, 4];
  return options.jobs.map((text) => {
    const jobs = Number(text);
    if (Number.isInteger(jobs) && jobs >= 1 && jobs <= JOBS_MAX) return jobs;
    throw usageError(`want --jobs from 1 to ${JOBS_MAX}, got ${text}`);
  });
}

function operationsOf({ options }: CommandInput): readonly string[] {
  const names = fsOperations.map(({ name }) => name);
  const unknown = options.operation?.find((name) => !names.includes(name));
  if (unknown !== undefined) throw usageError(`want --operation of ${names.join(", ")}, got ${unknown}`);
  return options.operation ?? names;
}

function peerOf(text: string): PeerTree {
  const at = text.indexOf("=");
  if (at < 1 || at === text.length - 1) throw usageError(`want --peer NAME=FOLDER, got ${text}`);
  return { name: text.slice(0, at), folder: resolve(text.slice(at + 1)) };
}
