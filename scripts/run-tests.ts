/**
 * Runs test files as processes of their own, two at a time, and ends with the line "N passed, N failed".
 *
 *     node dist/scripts/run-tests.js [text in the path …]
 *
 * Files under test/system/ and test/crash/ mostly wait for the machine (mounts, daemons): one of them runs beside one that
 * computes, as long as there are both. Where few fail, each is run once more alone, and what it says then counts;
 * both outputs are shown, since a test that fails by chance is a bug too.
 */
import { spawn } from "node:child_process";
import { readdir } from "node:fs/promises";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const FILE_TIMEOUT_MS = 15 * 60_000;
/** Files that are run once more at most: when more fail it isn't chance. */
const AGAIN_MAX = 8;
const testRoot = fileURLToPath(new URL("../test/", import.meta.url));

interface FileResult {
  readonly file: string;
  readonly passed: number;
  readonly failed: number;
  readonly seconds: number;
  readonly output: string;
}

async function main(): Promise<number> {
  const wanted = process.argv.slice(2).filter((argument) => !argument.startsWith("--"));
  const all = (await readdir(testRoot, { recursive: true }))
    .filter((name) => name.endsWith(".test.js"))
    .filter((name) => wanted.length === 0 || wanted.some((text) => name.includes(text)))
    .sort();
  const waits = (name: string): boolean => name.startsWith("system/") || name.startsWith("crash/");
  const results = await runAll(
    all.filter(waits),
    all.filter((name) => !waits(name)),
  );
  const again = await runAlone(results.filter((result) => result.failed > 0));
  const last = results.map((result) => again.get(result.file) ?? result);
  const passed = last.reduce((sum, result) => sum + result.passed, 0);
  const failed = last.reduce((sum, result) => sum + result.failed, 0);
  const unsure = [...again.values()].filter((result) => result.failed === 0);
  if (unsure.length > 0)
    console.log(`failed once, passed alone: ${unsure.map(({ file }) => file).join(", ")}`);
  console.log(`${passed} passed, ${failed} failed`);
  return failed === 0 && passed > 0 ? 0 : 1;
}

/** By file. */
async function runAlone(failures: readonly FileResult[]): Promise<ReadonlyMap<string, FileResult>> {
  const again = new Map<string, FileResult>();
  for (const { file, output } of failures) {
    console.log(`\n==== ${file}\n${output}`);
    if (failures.length > AGAIN_MAX) continue;
    const result = await runFile(relative("test", file));
    again.set(file, result);
    if (result.failed > 0) console.log(`\n==== ${file}, alone\n${result.output}`);
    tell(result);
  }
  return again;
}

function tell({ file, failed, passed, seconds }: FileResult): void {
  console.log(`${failed === 0 ? "ok  " : "FAIL"} ${file} (${passed} assertions, ${seconds.toFixed(1)} s)`);
}

/** Two at a time: each lane takes of its own files first, and then helps the other. */
async function runAll(...lanes: readonly string[][]): Promise<FileResult[]> {
  const results: FileResult[] = [];
  const lane = async (own: string[]): Promise<void> => {
    const next = (): string | undefined => own.shift() ?? lanes.find((other) => other.length > 0)?.shift();
    for (let file = next(); file !== undefined; file = next()) {
      const result = await runFile(file);
      results.push(result);
      tell(result);
    }
  };
  await Promise.all(lanes.map(lane));
  return results;
}

async function runFile(file: string): Promise<FileResult> {
  const started = process.hrtime.bigint();
  const child = spawn(process.execPath, ["--enable-source-maps", join(testRoot, file)], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, TAP_CHILD_ID: undefined, TAP_TIMEOUT: String(FILE_TIMEOUT_MS / 1000) },
  });
  let output = "";
  child.stdout.on("data", (bytes: Buffer) => {
    output += bytes.toString();
  });
  child.stderr.on("data", (bytes: Buffer) => {
    output += bytes.toString();
  });
  const timer = setTimeout(() => child.kill("SIGKILL"), FILE_TIMEOUT_MS);
  const exit = await new Promise<number>((resolve) => child.on("close", (code) => resolve(code ?? 137)));
  clearTimeout(timer);
  const seconds = Number(process.hrtime.bigint() - started) / 1e9;
  const passed = (output.match(/^\s+ok \d+/gm) ?? []).length;
  const failed = (output.match(/^\s*not ok \d+/gm) ?? []).length;
  const broken = exit !== 0 && failed === 0 ? 1 : 0;
  return { file: relative(".", join("test", file)), passed, failed: failed + broken, seconds, output };
}

process.exitCode = await main();
