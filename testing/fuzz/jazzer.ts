import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { command } from "../rig/command.js";
import { projectRoot } from "../rig/lab.js";
import type { Corpus } from "./corpus.js";
import { run } from "./run.js";

export interface FuzzOptions {
  readonly isLate: boolean;
  readonly bytesMax: number;
  readonly seconds: number;
  /** Inputs to begin with. */
  readonly corpus: Corpus;
}

export interface FuzzResult {
  readonly executions: number;
  /** What the fuzzer printed of an input that breaks the target; undefined: none was found. */
  readonly finding: string | undefined;
}

/** An input that takes longer is a finding: parsers are bounded. On this many cores others run, too. */
const INPUT_SECONDS_MAX = 20;
/** Of the process, with the instrumented code and the fuzzer's tables. */
const MEMORY_MIB_MAX = 1536;
/** Jazzer.js is built for this C library and later ones; an older machine gets one in a folder of its own. */
const GLIBC_MIN = 2.38;
const jazzer = join(projectRoot, "node_modules", "@jazzer.js", "core", "dist", "cli.js");
/** Where findings are kept, as <target>.<kind>-<sha1>. */
export const foundFolder = join(projectRoot, "test", "fuzz", "found");
const newer = join(projectRoot, "build", "newer", "libc");

let known: Promise<readonly string[]> | undefined;

/** Program and first arguments that run Node where Jazzer.js can be loaded. */
async function nodeCommand(): Promise<readonly string[]> {
  known ??= findNode();
  return await known;
}

async function findNode(): Promise<readonly string[]> {
  const { header } = process.report.getReport() as unknown as { header: { glibcVersionRuntime: string } };
  const [major = "0", minor = "0"] = header.glibcVersionRuntime.split(".");
  if (Number(major) + Number(minor) / 100 >= GLIBC_MIN) return [process.execPath];
  const packages = "libc-bin libstdc++6 libgcc-s1 libzstd1";
  const script = join(projectRoot, "scripts", "fetch-newer.sh");
  await command("bash", [script, newer, "trixie", packages, "getent"]);
  const lib = join(newer, "lib");
  return [join(lib, "ld-linux-x86-64.so.2"), "--library-path", lib, process.execPath];
}

/** Where fuzzing goes on from: what was found to reach something new. */
export function workingCorpus(target: string): string {
  return join(projectRoot, "build", "fuzz", target);
}

/** Fuzzes one target. A finding is kept in test/fuzz/found/<target>.<kind>-<sha1>, where tests find it from then on. */
export async function fuzzTarget(target: string, options: FuzzOptions): Promise<FuzzResult> {
  return await fuzzWith(target, {
    ...options,
    memoryMibMax: MEMORY_MIB_MAX,
    start: (flags) => runJazzer(target, options.isLate, [...flags, "-verbosity=1"]),
  });
}

/** One round of libFuzzer, or of what takes its flags. `start` runs it with them. */
export async function fuzzWith(
  target: string,
  options: Omit<FuzzOptions, "isLate"> & {
    readonly memoryMibMax: number;
    readonly start: (flags: readonly string[]) => Promise<{ readonly output: string; readonly code: number }>;
  },
): Promise<FuzzResult> {
  const { seconds, bytesMax, corpus, memoryMibMax, start } = options;
  const working = workingCorpus(target);
  await addInputs(working, corpus);
  const { output, code } = await start([
    working,
    `-max_total_time=${seconds}`,
    `-timeout=${INPUT_SECONDS_MAX}`,
    `-rss_limit_mb=${memoryMibMax}`,
    `-max_len=${bytesMax}`,
    `-artifact_prefix=${foundFolder}/${target}.`,
    "-print_final_stats=1",
  ]);
  const executions = Number(/stat::number_of_executed_units:\s*(\d+)/.exec(output)?.[1] ?? 0);
  return { executions, finding: code === 0 ? undefined : output.slice(-4000) };
}

/** What fuzzing kept of a target: each reached something that those before it did not. Jazzer.js can't merge corpora. */
export async function keptInputs(target: string): Promise<Corpus> {
  const folder = workingCorpus(target);
  return await Promise.all((await readdir(folder)).map((name) => readFile(join(folder, name))));
}

/** Puts inputs into a folder, under names that libFuzzer gives them too. */
export async function addInputs(folder: string, inputs: Corpus): Promise<void> {
  await mkdir(folder, { recursive: true });
  for (const input of inputs) {
    const path = join(folder, createHash("sha1").update(input).digest("hex"));
    if (!existsSync(path)) await writeFile(path, input);
  }
}

async function runJazzer(
  target: string,
  isLate: boolean,
  flags: readonly string[],
): Promise<{ output: string; code: number }> {
  const [program = "", ...first] = await nodeCommand();
  const scratch = await mkdtemp(join(tmpdir(), "lazuli-jazzer-"));
  const file = join(projectRoot, "dist", "test", "fuzz", "targets", `${target}.js`);
  const mode = isLate ? [] : ["--sync"];
  const options = ["-i", join("dist", "src"), "--disableBugDetectors", "^(?!prototype)", ...mode];
  try {
    return await run(program, [...first, jazzer, file, ...options, "--", ...flags], {
      TMPDIR: scratch,
      NODE_OPTIONS: undefined,
    });
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}
