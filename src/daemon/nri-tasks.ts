import { isDeepStrictEqual } from "node:util";
import { parseRuntimeJson, type RuntimeResources, runtimeJson } from "../cdi/index.js";
import type { AnyValue, ContainerRow } from "../metadata/index.js";
import type { Nri, NriSideEffects, NriSubject } from "../nri/index.js";
import { log } from "../observe/index.js";
import type { CreateTask, TaskManager, TaskName } from "../runtime/index.js";

/** How Go's typeurl names the JSON of a LinuxResources. */
const RESOURCES_TYPE = "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources";
const SIGKILL = 9;

export interface NriTasksOptions {
  readonly tasks: TaskManager;
  readonly nri: Nri;
  /** @throws NOT_FOUND */
  readonly containerOf: (name: TaskName) => ContainerRow;
}

/**
 * Tasks of containers without a pod, seen and adjusted by NRI plugins. CRI asks the plugins itself, with its pods, and
 * takes the tasks that are wrapped here.
 */
export function tasksWithPlugins(options: NriTasksOptions): TaskManager {
  const { tasks, nri } = options;
  return {
    create: (request, call) => createWithPlugins(options, request, call),
    start: async (name, call) => {
      if (name.execId !== "") return await tasks.start(name, call);
      const subject = subjectOf(options, name);
      await nri.startContainer(subject);
      const pid = await tasks.start(name, call);
      await nri.postStartContainer({ container: { ...subject.container, pid, state: "running" } });
      return pid;
    },
    delete: async (name, call) => {
      const subject = subjectOf(options, name);
      const exit = await tasks.delete(name, call);
      const container = { ...subject.container, state: "stopped", exitCode: exit.exitStatus } as const;
      const updates = await nri.stopContainer({ container });
      await carryOut(tasks, { updates, evictions: [], namespace: name.namespace });
      await nri.removeContainer({ container });
      return exit;
    },
    update: async (request, call) => {
      const subject = subjectOf(options, request);
      const resources = await updateWithPlugins(options, { request, subject });
      await tasks.update({ ...request, resources }, call);
      await nri.postUpdateContainer(subject);
    },
    deleteProcess: (name, call) => tasks.deleteProcess(name, call),
    state: (name, call) => tasks.state(name, call),
    list: (namespace) => tasks.list(namespace),
    kill: (request, call) => tasks.kill(request, call),
    exec: (request, call) => tasks.exec(request, call),
    resizePty: (request, call) => tasks.resizePty(request, call),
    closeIo: (request, call) => tasks.closeIo(request, call),
    pause: (name, call) => tasks.pause(name, call),
    resume: (name, call) => tasks.resume(name, call),
    pids: (name, call) => tasks.pids(name, call),
    checkpoint: (request, call) => tasks.checkpoint(request, call),
    metrics: (name, call) => tasks.metrics(name, call),
    wait: (name, call) => tasks.wait(name, call),
    runtimeInfo: (request, call) => tasks.runtimeInfo(request, call),
    close: () => tasks.close(),
  };
}

async function createWithPlugins(
  { tasks, nri, containerOf }: NriTasksOptions,
  request: CreateTask,
  call: { readonly signal?: AbortSignal | undefined } = {},
): Promise<number> {
  using _hold = nri.holdSynchronization();
  if (!nri.isActive || request.spec === undefined) return await tasks.create(request, call);
  const given = parseRuntimeJson(request.spec.value) as object;
  const { labels } = containerOf(request);
  const container = { id: request.id, name: request.id, labels, state: "created", spec: given } as const;
  try {
    const { spec, ...effects } = await nri.createContainer({ container }, call);
    await carryOut(tasks, { ...effects, namespace: request.namespace });
    const pid = await tasks.create(
      { ...request, spec: rewritten(request.spec, { given, wanted: spec }) },
      call,
    );
    await nri.postCreateContainer({ container: { ...container, spec, pid } });
    return pid;
  } catch (thrown) {
    // Plugins hold what they gave to a container until it stops and is removed.
    await nri.stopContainer({ container });
    await nri.removeContainer({ container });
    throw thrown;
  }
}

async function updateWithPlugins(
  { tasks, nri }: NriTasksOptions,
  parts: {
    readonly request: TaskName & { readonly resources: AnyValue | undefined };
    readonly subject: NriSubject;
  },
): Promise<AnyValue | undefined> {
  const { request, subject } = parts;
  if (!nri.isActive || request.resources === undefined) return request.resources;
  const given = parseRuntimeJson(request.resources.value) as RuntimeResources;
  const { resources, ...effects } = await nri.updateContainer(subject, given);
  await carryOut(tasks, { ...effects, namespace: request.namespace });
  return rewritten(request.resources, { given, wanted: resources });
}

/** The bytes as they came where nothing was changed: they may have numbers that a double has not. */
function rewritten(value: AnyValue, change: { readonly given: unknown; readonly wanted: unknown }): AnyValue {
  const { given, wanted } = change;
  return isDeepStrictEqual(given, wanted) ? value : { typeUrl: value.typeUrl, value: runtimeJson(wanted) };
}

function subjectOf({ containerOf, nri, tasks }: NriTasksOptions, name: TaskName): NriSubject {
  // Without plugins nobody looks at it.
  const row = nri.isActive ? containerOf(name) : undefined;
  const pid = tasks.list(name.namespace).find(({ id }) => id === name.id)?.pid ?? 0;
  const spec = row?.spec === undefined ? {} : (parseRuntimeJson(row.spec.value) as object);
  return {
    container: { id: name.id, name: name.id, labels: row?.labels ?? {}, state: "created", pid, spec },
  };
}

/** Does what plugins want of other containers, and returns the ids of those where it could not be done. */
export async function carryOut(
  tasks: TaskManager,
  wanted: NriSideEffects & { readonly namespace?: string },
): Promise<string[]> {
  const failed: string[] = [];
  const attempt = async (id: string, work: (name: TaskName) => Promise<void>): Promise<void> => {
    const held = tasks.list(wanted.namespace).find((task) => task.id === id);
    try {
      if (held === undefined) throw new Error("there is no such task");
      await work({ namespace: held.namespace, id });
    } catch (thrown) {
      failed.push(id);
      log.warn("What an NRI plugin wants of a container could not be done", {
        container: id,
        error: String(thrown),
      });
    }
  };
  for (const { containerId, resources } of wanted.updates) {
    const value = { typeUrl: RESOURCES_TYPE, value: runtimeJson(resources) };
    await attempt(containerId, (name) => tasks.update({ ...name, resources: value, annotations: {} }));
  }
  for (const { containerId, reason } of wanted.evictions) {
    log.info("An NRI plugin evicts a container", { container: containerId, reason });
    await attempt(containerId, (name) =>
      tasks.kill({ ...name, execId: "", signalNumber: SIGKILL, all: true }),
    );
  }
  return failed;
}
