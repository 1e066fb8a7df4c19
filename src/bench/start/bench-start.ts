import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { invalidArgument, LazuliError } from "../../errors/index.js";
import type { BenchReport } from "../contract.js";
import { type Programs, startBenchRegistry } from "../engines/index.js";
import { type PublishedImage, publish, publishLayers } from "../images/index.js";
import { seededRandom } from "../link/index.js";
import { readMachine } from "../machine.js";
import type { Workload } from "../workloads/index.js";
import { conditionsOf } from "./conditions.js";
import { type Contestant, missingProgram } from "./contestants.js";
import { Lab, type LinkShape } from "./lab.js";
import { type Measured, repeatabilityOf, seriesOf } from "./measured.js";
import { planRounds, type Task } from "./plan.js";

import { TaskRunner } from "./task-runner.js";

export interface BenchStartOptions {
  readonly workloads: readonly Workload[];
  readonly contestants: readonly Contestant[];
  readonly rounds: number;
  /** One unless the round trip time is swept. */
  readonly links: readonly LinkShape[];
  readonly seed: number;
  /** Containers that are started at once in a further task; undefined: there is none. */
  readonly concurrent: number | undefined;
  /** Layers that are mounted already in a further task; undefined: there is none. */
  readonly mounted: number | undefined;
  /** Images are kept here between runs. */
  readonly cacheFolder: string;
  readonly programs: Programs;
  /** Progress, for people. */
  readonly tell: (line: string) => void;
  readonly signal: AbortSignal;
}

/**
 * Starts containers of images that are not there, by each contestant in turn, and tells what it took. Must run as root in a
 * mount namespace of its own. A start that fails is a note in the report.
 * @throws FAILED_PRECONDITION, and what building images throws
 */
export async function benchStart(options: BenchStartOptions): Promise<BenchReport> {
  const { tell, signal } = options;
  const startedAt = new Date().toISOString();
  const notes: string[] = [];
  const contestants: Contestant[] = [];
  for (const contestant of options.contestants) {
    const missing = await missingProgram(contestant, options.programs);
    if (missing === undefined) contestants.push(contestant);
    else notes.push(`${contestant.name} was left out: ${missing} was not found`);
  }
  if (contestants.length === 0) {
    throw invalidArgument("Cannot measure starts: no contestant's programs were found", {
      reason: "contestants-missing",
      hint: notes.join("; "),
    });
  }
  for (const note of notes) tell(note);
  const { images, layered } = await publishAll(options);
  const tasks = planRounds({ ...options, contestants }, seededRandom(options.seed));
  const measured: Measured[] = [];
  {
    await using lab = await Lab.open(options);
    const logFolder = join(options.cacheFolder, "failed", startedAt);
    const runner = new TaskRunner({ lab, images, tell, notes, layered, logFolder, signal });
    for (const [at, task] of tasks.entries()) {
      signal.throwIfAborted();
      measured.push(await attempt(runner, task, { at, count: tasks.length, notes, tell, signal }));
    }
  }
  const baseline = contestants[0]!.name;
  if (measured.some(({ figures }) => figures === undefined)) {
    notes.push(`logs of starts that failed are in ${join(options.cacheFolder, "failed", startedAt)}`);
  }
  const series = seriesOf(measured, { baseline, rounds: options.rounds });
  return {
    version: 1,
    kind: "start",
    question:
      "How long does a container of an image that is not on the node take until it is ready, and what does it cost?",
    startedAt,
    machine: await machineOf(options.programs),
    conditions: conditionsOf(options, images),
    series,
    repeatability: repeatabilityOf(series),
    notes,
  };
}

/** Programs that were measured go by their names, whichever folder they are in. */
async function machineOf({ newerContainerd, soci }: Programs): Promise<BenchReport["machine"]> {
  const version = ["--version"];
  const plain = ["containerd", "runc", "docker-registry"].map((name) => [name, name] as const);
  const others = [
    ...(newerContainerd === undefined
      ? []
      : [["newer containerd", join(newerContainerd, "containerd")] as const]),
    ...(soci === undefined ? [] : [["soci", join(soci, "soci")] as const]),
  ];
  const all = [...plain, ...others];
  const machine = await readMachine(all.map(([, path]) => [path, version] as const));
  const nameOf = (path: string): string => all.find(([, other]) => other === path)?.[0] ?? path;
  return { ...machine, programs: machine.programs.map(([path, text]) => [nameOf(path), text] as const) };
}

interface PublishedImages {
  readonly images: ReadonlyMap<string, PublishedImage>;
  readonly layered: readonly string[];
}

async function publishAll(options: BenchStartOptions): Promise<PublishedImages> {
  const { workloads, mounted: layers = 0, cacheFolder, tell, signal } = options;
  const folder = await mkdtemp(join(tmpdir(), "lazuli-bench-images-"));
  const images = new Map<string, PublishedImage>();
  try {
    const registry = await startBenchRegistry({ cacheFolder, folder, certificate: undefined });
    try {
      const host = `127.0.0.1:${registry.port}`;
      for (const workload of workloads) {
        images.set(workload.name, await publish({ workload, cacheFolder, host, tell, signal }));
      }
      const layered = await publishLayers({ layers, cacheFolder, host, tell, signal });
      return { images, layered };
    } finally {
      await registry.stop();
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function attempt(
  runner: TaskRunner,
  task: Task,
  context: {
    readonly at: number;
    readonly count: number;
    readonly notes: string[];
    readonly tell: (line: string) => void;
    readonly signal: AbortSignal;
  },
): Promise<Measured> {
  const { at, count, notes, tell, signal } = context;
  const { subject, round } = task;
  const contestant = task.contestant.name;
  const place = `${at + 1}/${count} ${subject}, ${contestant}`;
  try {
    const measured = await runner.run(task);
    const { figures } = measured;
    const first =
      figures.firstOutputMs === undefined ? "" : `first output ${seconds(figures.firstOutputMs)}, `;
    const megabytes = (figures.bytesFetched / 1e6).toFixed(1);
    tell(
      `${place}: ${first}ready ${seconds(figures.readyMs)}, ${megabytes} MB in ${figures.requests} requests`,
    );
    return { subject, contestant, round, ...measured };
  } catch (thrown) {
    signal.throwIfAborted();
    const { message } = LazuliError.from(thrown);
    tell(`${place}: failed: ${message}`);
    notes.push(`${subject}, ${contestant}, round ${round + 1} failed: ${message.split("\n")[0]}`);
    return { subject, contestant, round, figures: undefined, trace: undefined, brought: undefined };
  }
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`;
}
