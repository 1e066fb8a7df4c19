import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { cpus, release, totalmem } from "node:os";
import { promisify } from "node:util";
import type { BenchMachine } from "./contract.js";
import { projectFolder } from "./project-folder.js";

const run = promisify(execFile);
/** A program that does not tell its version by then is noted without one. */
const VERSION_MAX_MS = 10_000;

/** Programs and the arguments that make them print their version in the first line. */
const programsMeasured: readonly (readonly [name: string, args: readonly string[]])[] = [
  ["containerd", ["--version"]],
  ["runc", ["--version"]],
];

/** What a reader needs to judge a figure: machine, kernel, versions and commit. Programs that are not here are left out. */
export async function readMachine(programs = programsMeasured): Promise<BenchMachine> {
  const versions = await Promise.all(
    programs.map(async ([name, args]) => [name, await firstLine(name, args)] as const),
  );
  const osRelease = await readFile("/etc/os-release", "utf8").catch(() => ""); // Not every system has one.
  return {
    processors: `${cpus().length} x ${cpus()[0]?.model ?? "unknown"}`,
    memoryBytes: totalmem(),
    kernel: release(),
    distribution: /PRETTY_NAME="(.*)"/.exec(osRelease)?.[1] ?? "unknown",
    node: process.version,
    commit: await firstLine("git", ["-C", projectFolder, "rev-parse", "--short", "HEAD"]),
    programs: versions.filter(([, version]) => version !== ""),
  };
}

/** The same as names and values, in the order in which they are printed. */
export function machineLines(machine: BenchMachine): readonly (readonly [name: string, value: string])[] {
  return [
    ["processors", machine.processors],
    ["memory", `${Math.round(machine.memoryBytes / 2 ** 30)} GiB`],
    ["kernel", machine.kernel],
    ["distribution", machine.distribution],
    ["node", machine.node],
    ...machine.programs,
    ["commit", machine.commit === "" ? "unknown" : machine.commit],
  ];
}

async function firstLine(program: string, args: readonly string[]): Promise<string> {
  try {
    const { stdout } = await run(program, [...args], { timeout: VERSION_MAX_MS });
    return stdout.split("\n")[0] ?? "";
  } catch {
    // It is not installed, or not a working tree of git: there is no version to tell.
    return "";
  }
}

/** For benchmarks that print text of their own. */
export async function machineFacts(): Promise<Record<string, string>> {
  return Object.fromEntries(machineLines(await readMachine()));
}
