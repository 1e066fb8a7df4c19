import { readFileSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";
import { command } from "../testing/rig/command.js";

/** What a reader needs to judge a figure: machine, kernel, versions and commit. */
export async function machineFacts(): Promise<Record<string, string>> {
  const first = async (program: string, args: readonly string[]): Promise<string> =>
    (await command(program, args)).stdout.split("\n")[0] ?? "";
  return {
    processors: `${cpus().length} x ${cpus()[0]?.model ?? "unknown"}`,
    memory: `${Math.round(totalmem() / 2 ** 30)} GiB`,
    kernel: release(),
    distribution: /PRETTY_NAME="(.*)"/.exec(readFileSync("/etc/os-release", "utf8"))?.[1] ?? "unknown",
    node: process.version,
    containerd: await first("containerd", ["--version"]),
    runc: await first("runc", ["--version"]),
    commit: await first("git", ["rev-parse", "--short", "HEAD"]),
  };
}

/** The middle of several measurements, with the least and the greatest. */
export interface Spread {
  readonly median: number;
  readonly least: number;
  readonly greatest: number;
}

export function spreadOf(values: readonly number[]): Spread {
  const sorted = [...values].sort((left, right) => left - right);
  return { median: sorted[Math.floor(sorted.length / 2)]!, least: sorted[0]!, greatest: sorted.at(-1)! };
}
