import { delay } from "../async/index.js";
import { LazuliError } from "../errors/index.js";
import type { ContainerRow, ContainerTable, Labels, NamespaceTable } from "../metadata/index.js";
import { log } from "../observe/index.js";
import { type RestartChange, restartChange, restartLabels, type TaskStatus } from "./restart-policy.js";

interface CallOptions {
  readonly signal: AbortSignal;
}

/** What the monitor does to the tasks of containers. */
export interface RestartTasks {
  /** Undefined when the container has no task. */
  status(container: ContainerRow, options: CallOptions): Promise<TaskStatus | undefined>;
  /** Kills the task and deletes it; nothing where there is none. */
  end(container: ContainerRow, options: CallOptions): Promise<void>;
  /** Makes a new task and starts it. `logUri` "" lets the output go nowhere. */
  start(
    request: { readonly container: ContainerRow; readonly logUri: string },
    options: CallOptions,
  ): Promise<void>;
}

export interface RestartMonitorOptions {
  readonly namespaces: NamespaceTable;
  readonly containers: ContainerTable;
  readonly tasks: RestartTasks;
  /** What the maker of the container's image wrote, which clients copy to the container; undefined: nobody knows. */
  readonly imageLabels: (container: ContainerRow) => Promise<Readonly<Record<string, unknown>> | undefined>;
  /** Tells of each change that was made. */
  readonly onUpdated: (container: ContainerRow) => void;
  readonly intervalMs?: number;
}

/** containerd's. */
const INTERVAL_MS = 10_000;
/** Containers that are changed side by side; further ones wait for these. */
const CHANGES_MAX = 16;

/** Keeps containers as their restart labels say, until it is disposed of. */
export function startRestartMonitor(options: RestartMonitorOptions): AsyncDisposable {
  const ending = new AbortController();
  const ended = watch(options, ending.signal);
  return {
    [Symbol.asyncDispose]: async () => {
      ending.abort();
      await ended;
    },
  };
}

async function watch(options: RestartMonitorOptions, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await reconcile(options, { signal });
    // The end comes as an abort of the wait.
    await delay(options.intervalMs ?? INTERVAL_MS, { signal }).catch(() => undefined);
  }
}

/** Looks once at every container that has a restart label. What fails is logged and tried again the next time. */
export async function reconcile(options: RestartMonitorOptions, { signal }: CallOptions): Promise<void> {
  const watched = options.namespaces
    .list()
    .flatMap(({ name: namespace }) =>
      options.containers.list({ namespace, filters: [`labels.${JSON.stringify(restartLabels.status)}`] }),
    );
  for (let at = 0; at < watched.length && !signal.aborted; at += CHANGES_MAX) {
    const some = watched.slice(at, at + CHANGES_MAX);
    await Promise.all(some.map((container) => reconcileOne(container, options, { signal })));
  }
}

async function reconcileOne(
  container: ContainerRow,
  options: RestartMonitorOptions,
  { signal }: CallOptions,
): Promise<void> {
  try {
    const status = await options.tasks.status(container, { signal });
    if (restartChange(container.labels, status) === undefined) return;
    const labels = ownLabels(container.labels, await options.imageLabels(container));
    const change = restartChange(labels, status);
    if (change !== undefined) await apply(change, { ...options, container, signal });
  } catch (thrown) {
    if (signal.aborted) return;
    const { message, reason } = LazuliError.from(thrown);
    const { namespace, id } = container;
    log.warn("A container could not be kept as its restart labels say", {
      namespace,
      container: id,
      error: message,
      reason,
    });
  }
}

/**
 * The labels without those that say what the image's do: a restart, and the program that its output goes to, are the
 * operator's to want, not those of whoever made the image (CVE-2026-53488). Where nobody knows the image's, no program.
 */
function ownLabels(labels: Labels, imageLabels: Readonly<Record<string, unknown>> | undefined): Labels {
  const isOwn = ([key, value]: readonly [string, string]): boolean => {
    if (imageLabels === undefined) return key !== restartLabels.logUri || !value.startsWith("binary");
    return !Object.hasOwn(imageLabels, key) || imageLabels[key] !== value;
  };
  return Object.fromEntries(Object.entries(labels).filter(isOwn));
}

async function apply(
  change: RestartChange,
  options: RestartMonitorOptions & { readonly container: ContainerRow; readonly signal: AbortSignal },
): Promise<void> {
  const { container, containers, tasks, signal } = options;
  if (change.kind === "stop") {
    await tasks.end(container, { signal });
    return;
  }
  const counted = await containers.update({
    ...container,
    labels: { [restartLabels.count]: String(change.count) },
    fieldPaths: [`labels.${restartLabels.count}`],
  });
  options.onUpdated(counted);
  // A task that can't be ended makes the start fail, which tells more.
  await tasks.end(counted, { signal }).catch(() => undefined);
  await tasks.start({ container: counted, logUri: change.logUri }, { signal });
}
