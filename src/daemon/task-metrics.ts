import { LazuliError } from "../errors/index.js";
import { log } from "../observe/index.js";
import type { HeldTask, TaskManager } from "../runtime/index.js";
import { cgroupFigures, cgroupLabels, cgroupNames } from "./cgroup-figures.js";
import type { Metrics, Sample } from "./metrics.js";

/** Tasks that are asked for one page; those created after them are not on it. */
const TASKS_MAX = 256;
/** Series of one name: a task has one for each CPU or device. */
const SERIES_MAX = 4096;
/** For all tasks together; a shim that has not answered by then is left out. */
const PAGE_TIMEOUT_MS = 3000;

interface TaskFacts {
  readonly task: HeldTask;
  readonly status: string;
  readonly figures: readonly { readonly name: string; readonly sample: Sample }[];
}

export interface WatchTasksOptions {
  readonly tasks: Pick<TaskManager, "list" | "state" | "metrics">;
  /** The name of a task's runtime; "" when nobody knows. */
  readonly runtimeOf: (task: HeldTask) => string;
}

/** Tasks by status, and what their cgroups use under the names of containerd's monitor, asked of the shims for each page. */
export function watchTasks(metrics: Metrics, { tasks, runtimeOf }: WatchTasksOptions): void {
  let facts: readonly TaskFacts[] = [];
  metrics.beforePage(async () => {
    const signal = AbortSignal.timeout(PAGE_TIMEOUT_MS);
    const asked = tasks.list().slice(0, TASKS_MAX);
    facts = await Promise.all(
      asked.map((task) => factsOf(tasks, { task, runtime: runtimeOf(task), signal })),
    );
  });
  metrics.watch({
    name: "lazuli_tasks",
    help: "Tasks by status; `unknown` are those whose shim did not answer in time.",
    type: "gauge",
    labels: ["namespace", "status"],
    read: () => counted(facts.map(({ task, status }) => [task.namespace, status])),
  });
  for (const name of cgroupNames) {
    metrics.watch({
      name: `container_${name}`,
      help: `\`${name}\` of the running task's cgroup, as containerd's monitor has it.`,
      type: "gauge",
      labels: ["container_id", "namespace", "runtime", ...(cgroupLabels[name] ?? [])],
      seriesMax: SERIES_MAX,
      isSparse: true,
      read: () =>
        facts.flatMap(({ figures }) =>
          figures.filter((one) => one.name === name).map(({ sample }) => sample),
        ),
    });
  }
}

async function factsOf(
  tasks: Pick<TaskManager, "state" | "metrics">,
  { task, runtime, signal }: { task: HeldTask; runtime: string; signal: AbortSignal },
): Promise<TaskFacts> {
  const { namespace, id } = task;
  let status = "unknown";
  try {
    ({ status } = await tasks.state({ namespace, id, execId: "" }, { signal }));
    if (status === "stopped") return { task, status, figures: [] };
    const { data } = await tasks.metrics({ namespace, id }, { signal });
    const figures = cgroupFigures(data).map(({ name, labels, value }) => ({
      name,
      sample: { labels: [id, namespace, runtime, ...labels], value },
    }));
    return { task, status, figures };
  } catch (thrown) {
    const { message } = LazuliError.from(thrown);
    log.debug("Cannot measure a task", { id, namespace, error: message });
    return { task, status, figures: [] };
  }
}

/** Sums up equal sets of labels. */
export function counted(all: readonly (readonly string[])[]): Sample[] {
  const counts = new Map<string, { labels: readonly string[]; value: number }>();
  for (const labels of all) {
    const key = labels.join("\0");
    const known = counts.get(key);
    if (known === undefined) counts.set(key, { labels, value: 1 });
    else known.value += 1;
  }
  return [...counts.values()];
}
