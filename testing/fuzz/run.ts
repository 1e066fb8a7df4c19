import { spawn } from "node:child_process";
import { projectRoot } from "../rig/lab.js";

/** Of what a fuzzer prints, the end is kept. */
const OUTPUT_BYTES_MAX = 64 * 1024;

/** Runs a fuzzer; a status other than 0 is a finding of its. */
export async function run(
  program: string,
  flags: readonly string[],
  environment: Readonly<Record<string, string | undefined>> = {},
): Promise<{ output: string; code: number }> {
  const child = spawn(program, flags, {
    cwd: projectRoot,
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...environment },
  });
  let output = "";
  const take = (bytes: Buffer): void => {
    output = (output + bytes.toString("latin1")).slice(-OUTPUT_BYTES_MAX);
  };
  child.stdout.on("data", take);
  child.stderr.on("data", take);
  const code = await new Promise<number>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (status) => resolve(status ?? 1));
  });
  return { output, code };
}
