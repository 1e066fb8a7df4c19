import { linkSignals } from "../../async/index.js";
import type { Container, Image, Task } from "../../client/index.js";
import type { StartTrace } from "../../traces/index.js";
import type { Engine, PullRequest } from "../engines/index.js";
import type { Workload } from "../workloads/index.js";
import { metricSum, metricsPage, processFigures } from "./process-figures.js";
import { takeTrace } from "./take-trace.js";
import { ContainerWatch } from "./watch-container.js";

/** A start that takes longer has failed. */
export const START_MAX_MS = 180_000;

/** What has come over the link so far. */
export interface LinkFigures {
  readonly bytes: number;
  readonly requests: number;
}

/** What one start took. Times are milliseconds; those of `firstOutput` and `ready` begin where the start does. */
export interface StartFigures {
  /** Undefined: the image was there. */
  readonly pullMs: number | undefined;
  readonly createMs: number;
  readonly runMs: number;
  /** Undefined: it said nothing before it was ready. */
  readonly firstOutputMs: number | undefined;
  readonly readyMs: number;
  readonly bytesFetched: number;
  readonly requests: number;
  /** Undefined: no part of lazuli runs. */
  readonly fuseMessages: number | undefined;
  readonly cpuMs: number;
  readonly residentBytes: number;
}

/** What replays brought of layers that the start has; decoded bytes. */
export interface BroughtFigures {
  readonly usedBytes: number;
  readonly wasteBytes: number;
}

export interface MeasuredStart {
  readonly figures: StartFigures;
  /** Undefined: lazuli takes no part. */
  readonly brought: BroughtFigures | undefined;
  /** Undefined: lazuli takes no part, or nothing was lazy. */
  readonly trace: StartTrace | undefined;
}

export interface MeasureStartOptions {
  readonly engine: Engine;
  readonly workload: Workload;
  readonly image: Omit<PullRequest, "signal">;
  readonly isLocal: boolean;
  /** Makes everything cold; called right before the start begins. */
  readonly cool: () => Promise<void>;
  readonly link: () => Promise<LinkFigures>;
  /** Unique on the engine. */
  readonly id: string;
  readonly signal: AbortSignal;
}

/** From nothing, or from an image that is local, to a container that is ready. The container is gone afterwards. */
export async function measureStart(options: MeasureStartOptions): Promise<MeasuredStart> {
  const { engine, isLocal, cool } = options;
  using deadline = linkSignals([options.signal], START_MAX_MS);
  const { signal } = deadline;
  const image = { ...options.image, signal };
  if (isLocal) await engine.pull(image);
  await cool();
  const before = await countersOf(options);
  const began = performance.now();
  if (!isLocal) await engine.pull(image);
  const pulled = performance.now();
  const found = await engine.client.image(image.reference, { signal });
  const started = await startContainer(options, { image: found, signal });
  try {
    const readyAt = await started.ready;
    const spent = await spentSince(before, options);
    // Its last words may be on their way still.
    if (options.workload.ready.kind === "exit") await started.task.outputFinished;
    const { firstOutputMs } = started.watch;
    const figures: StartFigures = {
      pullMs: isLocal ? undefined : pulled - began,
      createMs: started.createdMs - pulled,
      runMs: started.runningMs - started.createdMs,
      firstOutputMs: firstOutputMs === undefined ? undefined : firstOutputMs - began,
      readyMs: readyAt - began,
      ...spent,
    };
    // Ends the recording, which is when a replay is held against it.
    const trace = await takeTrace(engine, options);
    return { figures, trace, brought: await broughtBy(engine) };
  } finally {
    await started.remove();
  }
}

export interface StartedContainer {
  readonly task: Task;
  readonly watch: ContainerWatch;
  /** Of performance.now(). */
  readonly createdMs: number;
  readonly runningMs: number;
  /** When it is ready. */
  readonly ready: Promise<number>;
  remove(): Promise<void>;
}

/** Leaves nothing of the container when it fails. */
export async function startContainer(
  { engine, workload, id }: Pick<MeasureStartOptions, "engine" | "workload" | "id">,
  { image, signal }: { readonly image: Image; readonly signal: AbortSignal },
): Promise<StartedContainer> {
  const { client, snapshotter } = engine;
  const { command: args } = workload;
  const container = await client.createContainer({ id, image, args, snapshotter, signal });
  const createdMs = performance.now();
  const watch = new ContainerWatch();
  let task: Task | undefined;
  try {
    const made = await container.newTask({ io: watch.io, signal });
    task = made;
    // Asked for before the start, so that no end is missed.
    const isReady = watch.ready(made, workload.ready, signal);
    isReady.catch(() => undefined);
    await made.start({ signal });
    const runningMs = performance.now();
    return { task: made, watch, createdMs, runningMs, ready: isReady, remove: () => remove(container, made) };
  } catch (thrown) {
    await remove(container, task).catch(() => undefined); // What failed first is what is told.
    throw thrown;
  }
}

async function broughtBy({ lazuli }: Engine): Promise<BroughtFigures | undefined> {
  if (lazuli === undefined) return undefined;
  const page = await metricsPage(lazuli.metricsSocket);
  const bytes = (what: string): number =>
    metricSum(page, "lazuli_replay_start_bytes_total", `what="${what}"`);
  return { usedBytes: bytes("hit") + bytes("late"), wasteBytes: bytes("waste") };
}

async function remove(container: Container, task: Task | undefined): Promise<void> {
  using deadline = linkSignals([], START_MAX_MS);
  const waiting = { signal: deadline.signal };
  if (task !== undefined) {
    await task.kill("KILL", { all: true, ...waiting }).catch(() => undefined); // It has ended by itself.
    await task.wait(waiting);
    await task.delete(waiting);
  }
  await container.delete(waiting);
}

type Counters = Pick<StartFigures, "bytesFetched" | "requests" | "fuseMessages" | "cpuMs" | "residentBytes">;

/** What came on top of counters; memory is that of now. */
export async function spentSince(before: Counters, options: MeasureStartOptions): Promise<Counters> {
  const after = await countersOf(options);
  const { fuseMessages, residentBytes } = after;
  return {
    bytesFetched: after.bytesFetched - before.bytesFetched,
    requests: after.requests - before.requests,
    fuseMessages: fuseMessages === undefined ? undefined : fuseMessages - (before.fuseMessages ?? 0),
    cpuMs: after.cpuMs - before.cpuMs,
    residentBytes,
  };
}

/** Counters of link, registry and daemons. */
export async function countersOf({ engine, link }: MeasureStartOptions): Promise<Counters> {
  const [{ bytes: bytesFetched, requests }, { cpuMs, residentBytes }] = await Promise.all([
    link(),
    processFigures(engine.pids),
  ]);
  const fuseMessages =
    engine.lazuli === undefined
      ? undefined
      : metricSum(await metricsPage(engine.lazuli.metricsSocket), "lazuli_fuse_messages_total");
  return { bytesFetched, requests, cpuMs, residentBytes, fuseMessages };
}
