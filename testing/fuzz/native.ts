import { mkdir, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { command } from "../rig/command.js";
import { projectRoot } from "../rig/lab.js";
import type { Corpus } from "./corpus.js";
import { type FuzzOptions, type FuzzResult, fuzzWith, workingCorpus } from "./jazzer.js";
import { run } from "./run.js";

/** What drives the native targets: libFuzzer where clang is installed, else a mutator that sees no coverage. */
export type NativeDriver = "libFuzzer" | "standalone";

const MEMORY_MIB_MAX = 2048;

/** Builds native/fuzz with AddressSanitizer and UBSan. */
export async function buildNativeTargets(): Promise<NativeDriver> {
  const { stdout } = await command("bash", [join(projectRoot, "scripts", "build-native.sh"), "fuzz"]);
  return stdout.trim().endsWith("libFuzzer") ? "libFuzzer" : "standalone";
}

/** Runs what buildNativeTargets() built. The target is named as its corpus: `native-span-scanner`. */
export async function fuzzNative(target: string, options: Omit<FuzzOptions, "isLate">): Promise<FuzzResult> {
  return await fuzzWith(target, {
    ...options,
    memoryMibMax: MEMORY_MIB_MAX,
    start: (flags) => run(programOf(target), flags),
  });
}

/** The smallest part of what was found for a target that reaches all that the whole does; by libFuzzer. */
export async function mergeNative(target: string, bytesMax: number): Promise<Corpus> {
  const merged = await mkdtemp(join(tmpdir(), "lazuli-merge-"));
  try {
    await mkdir(workingCorpus(target), { recursive: true });
    const flags = [merged, workingCorpus(target), "-merge=1", `-max_len=${bytesMax}`];
    const { output, code } = await run(programOf(target), flags);
    if (code !== 0) throw new Error(`Cannot merge the corpus of ${target}: ${output.slice(-2000)}`);
    return await Promise.all((await readdir(merged)).map((name) => readFile(join(merged, name))));
  } finally {
    await rm(merged, { recursive: true, force: true });
  }
}

function programOf(target: string): string {
  return join(projectRoot, "build", "fuzzers", target.replace(/^native-/, "").replaceAll("-", "_"));
}
