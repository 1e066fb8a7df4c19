import { execFile, spawn } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { sha256 } from "../../src/bytes/index.js";
import { LazuliError } from "../../src/errors/index.js";
import type { OpenLayerEngine } from "../../src/layer/index.js";
import type { Misbehaviour, PhaseVerdicts } from "../../testing/registry/misbehaviours/index.js";
import { digest, layer, type PhaseEngine, PhaseRig, pathOf } from "./registry-phases-rig.js";

export type Phase = keyof PhaseVerdicts;
export const phases: readonly Phase[] = ["pull", "read", "prefetch", "resume"];

/** What is waited for that comes by itself; beyond it something hangs. */
const PATIENCE_MS = 60_000;
const AGAIN_MS = 50;
const PREFETCHED_BYTES = layer.files[0]!.content.length + layer.files[1]!.content.length;

/** What a phase ended with, and whatever went wrong besides. */
export interface Outcome {
  readonly verdict: string;
  readonly faults: readonly string[];
}

interface Run {
  readonly rig: PhaseRig;
  readonly place: PhaseEngine;
  readonly faults: string[];
  readonly wanted: PhaseVerdicts;
}

export async function runPhase(options: {
  readonly phase: Phase;
  readonly misbehaviour: Misbehaviour;
  readonly place: PhaseEngine;
}): Promise<Outcome> {
  const { phase, misbehaviour, place } = options;
  await using rig = await PhaseRig.make(misbehaviour);
  const faults: string[] = [];
  try {
    const verdict = await runs[phase]({ rig, place, faults, wanted: misbehaviour.verdicts });
    return { verdict, faults };
  } finally {
    await place.forget();
  }
}

const runs: Readonly<Record<Phase, (run: Run) => Promise<string>>> = { pull, read, prefetch, resume };

async function pull({ rig, place, faults }: Run): Promise<string> {
  const engine = await place.engine(rig);
  rig.misbehave();
  let verdict = "right";
  try {
    await engine.ensure(rig.request("whole"), { signal: AbortSignal.timeout(PATIENCE_MS) });
  } catch (error) {
    if (!(error instanceof LazuliError)) throw error;
    verdict = error.reason ?? error.code;
    if (engine.has(digest)) faults.push("a layer is left of a pull that failed");
  }
  rig.behave();
  if (verdict !== "right") await again(() => engine.ensure(rig.request("whole"), {}));
  await checkAll(await engine.mountPoint(digest), faults);
  return verdict;
}

async function read({ rig, place, faults }: Run): Promise<string> {
  const engine = await place.engine(rig);
  await ensureWithoutPrefetch(rig, engine);
  const folder = await engine.mountPoint(digest);
  rig.misbehave();
  const seen = rig.server.log.length;
  const killed = killedReader(pathOf(folder, 4), () => rig.server.log.length > seen);
  const verdict = await readFile(folder, 2);
  if (!(await killed)) faults.push("a reader outlived SIGKILL");
  rig.behave();
  await checkAll(folder, faults);
  return verdict;
}

async function prefetch({ rig, place, faults, wanted }: Run): Promise<string> {
  const engine = await place.engine(rig);
  await again(() => engine.ensure(rig.prefetchRequest(), {}));
  const folder = await engine.mountPoint(digest);
  const isFetched = (): boolean => engine.status(digest).cachedBytes >= PREFETCHED_BYTES;
  const hasFailed = (): boolean => engine.status(digest).lastError !== undefined;
  // What failed once may come a moment later, by itself.
  await until(() => isFetched() || (wanted.prefetch !== "fetched" && hasFailed()), faults);
  if (isFetched()) {
    await rig.server.stop();
    if ((await readFile(folder, 0)) !== "right") faults.push("what was fetched ahead is not there");
    return "fetched";
  }
  // Units that were whole before the error are here, and are right.
  const seen = await readFile(folder, 0);
  if (seen !== "EIO" && seen !== "right") faults.push(`a file of the range is ${seen}`);
  rig.behave();
  await checkAll(folder, faults);
  return "not fetched";
}

async function resume({ rig, place, faults }: Run): Promise<string> {
  const first = await place.engine(rig);
  await ensureWithoutPrefetch(rig, first);
  if ((await readFile(await first.mountPoint(digest), 0)) !== "right") faults.push("the first read failed");
  rig.misbehave();
  const engine = await place.restarted(rig);
  const folder = await engine.mountPoint(digest);
  if ((await readFile(folder, 0)) !== "right") faults.push("what is on disk needs the registry");
  const verdict = await readFile(folder, 2);
  rig.behave();
  await checkAll(folder, faults);
  return verdict;
}

/** What is fetched ahead is here before the misbehaviour begins, so that it is the read that meets it. */
async function ensureWithoutPrefetch(rig: PhaseRig, engine: OpenLayerEngine): Promise<void> {
  await again(() => engine.ensure(rig.request("lazy"), {}));
  const folder = await engine.mountPoint(digest);
  for (const file of [0, 1]) {
    await again(async () => {
      if ((await readFile(folder, file)) !== "right") throw new Error("A registry that behaves is not read");
    });
  }
}

/** What another process reads; one that hangs is killed. */
async function sums(files: readonly string[]): Promise<{ code: string; stdout: string; stderr: string }> {
  return await new Promise((resolve) => {
    const options = { timeout: PATIENCE_MS, killSignal: "SIGKILL" as const };
    execFile("sha256sum", files, options, (error, stdout, stderr) => {
      resolve({ code: String(error?.code ?? error?.signal ?? 0), stdout, stderr });
    });
  });
}

/** "right", "EIO", or what else came: another process reads a file to its end. */
async function readFile(folder: string, file: number): Promise<string> {
  const { code, stdout, stderr } = await sums([pathOf(folder, file)]);
  if (code !== "0") return stderr.includes("Input/output error") ? "EIO" : `${code} ${stderr}`;
  return `sha256:${stdout.slice(0, 64)}` === sha256(layer.files[file]!.content) ? "right" : "wrong bytes";
}

/** Every file is right as soon as the registry behaves and the engine asks again, and none is ever wrong. */
async function checkAll(folder: string, faults: string[]): Promise<void> {
  const files = layer.files.map((_file, index) => pathOf(folder, index));
  const wanted = layer.files.map(({ content }) => sha256(content).slice("sha256:".length));
  await again(async () => {
    const { code, stdout, stderr } = await sums(files);
    for (const [index, path] of files.entries()) {
      const line = stdout.split("\n").find((one) => one.endsWith(path));
      if (line !== undefined && !line.startsWith(wanted[index]!)) faults.push(`wrong bytes in ${path}`);
    }
    if (code !== "0") throw new Error(`The registry behaves, and still: ${stderr}`);
  });
}

/** Whether a reader that waits for a registry ends when it is killed. */
async function killedReader(path: string, isAsked: () => boolean): Promise<boolean> {
  const reader = spawn("cat", [path], { stdio: "ignore" });
  const closed = new Promise<boolean>((resolve) => reader.once("close", () => resolve(true)));
  while (!isAsked() && reader.exitCode === null) await sleep(5);
  reader.kill("SIGKILL");
  return await Promise.race([closed, sleep(PATIENCE_MS, false, { ref: false })]);
}

async function until(test: () => boolean, faults: string[]): Promise<void> {
  const end = performance.now() + PATIENCE_MS;
  while (!test()) {
    if (performance.now() > end) return void faults.push("nothing happens");
    await sleep(10);
  }
}

/** Tries until it succeeds: a pause after a failure may be running. */
async function again(action: () => Promise<void>): Promise<void> {
  const end = performance.now() + PATIENCE_MS;
  for (;;) {
    try {
      return await action();
    } catch (error) {
      if (performance.now() > end) throw error;
    }
    await sleep(AGAIN_MS);
  }
}
