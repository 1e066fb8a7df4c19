import { fromBinary } from "@bufbuild/protobuf";
import { RuntimeInfoSchema } from "../../gen/containerd/types/introspection_pb.js";
import { alreadyExists, failedPrecondition, LazuliError, notFound, unavailable } from "../errors/index.js";
import type { EventExchange } from "../events/index.js";
import { type AnyValue, requireIdentifier } from "../metadata/index.js";
import type { MountManager } from "../mounts/index.js";
import { anyField, anyValue } from "./any-values.js";
import { optionsInput } from "./bootstrap.js";
import {
  type CreateTask,
  type ExecTask,
  type ProcessExit,
  type ProcessName,
  type ProcessState,
  processStatuses,
  type RuntimeInfo,
  type TaskManager,
  type TaskMetrics,
  type TaskName,
  type TaskProcess,
} from "./contract.js";
import { type CreatedTask, type CreateTaskOptions, createTask } from "./create-task.js";
import { HeldTask } from "./held-task.js";
import { type RestoredTask, restoreTasks } from "./restore-tasks.js";
import { runProgram } from "./run-program.js";
import type { Shim, ShimSettings } from "./shim.js";
import { shimProgram } from "./shim-program.js";
import type { TaskAnswer, TaskMethod, TaskRequest } from "./shim-tasks.js";
import { TaskMounts } from "./task-mounts.js";
import { defaultTimeouts, type RuntimeTimeouts } from "./timeouts.js";
import { timeOf } from "./times.js";

export interface TaskManagerOptions extends Omit<ShimSettings, "timeouts"> {
  readonly timeouts?: Partial<RuntimeTimeouts>;
  readonly events: EventExchange;
  /** Makes mounts of root file systems that shims can't make; without it they get all of them. */
  readonly mounts?: MountManager;
  /** Nanoseconds since 1970. */
  readonly now: () => bigint;
}

interface CallOptions {
  readonly signal?: AbortSignal | undefined;
}

/** Opens the manager with the tasks that run on from before; shims that are gone are cleaned up after first. */
export async function openTaskManager(options: TaskManagerOptions): Promise<TaskManager> {
  const settings = { ...options, timeouts: { ...defaultTimeouts, ...options.timeouts } };
  return new ShimTaskManager({ ...options, settings }, await restoreTasks(settings));
}

interface Parts {
  readonly settings: ShimSettings;
  readonly events: EventExchange;
  readonly mounts?: MountManager;
  readonly now: () => bigint;
}

class ShimTaskManager implements TaskManager {
  readonly #parts: Parts;
  readonly #tasks = new Map<string, HeldTask>();
  readonly #creating = new Set<string>();
  readonly #mounts: TaskMounts;
  #isClosed = false;

  constructor(parts: Parts, restored: readonly RestoredTask[]) {
    this.#parts = parts;
    this.#mounts = new TaskMounts({
      manager: parts.mounts,
      runtimeInfo: (request, options) => this.runtimeInfo(request, options),
    });
    for (const { shim, pid } of restored) this.#hold(shim, pid);
  }

  async create(request: CreateTask, { signal }: CallOptions = {}): Promise<number> {
    const { namespace, sandboxId } = request;
    const key = keyOf(request);
    if (this.#isClosed) throw unavailable("The task manager is closed", { reason: "runtime-closed" });
    if (this.#tasks.has(key) || this.#creating.has(key)) {
      throw alreadyExists(`task ${request.id}`, { subject: request.id, reason: "task-exists" });
    }
    this.#creating.add(key);
    try {
      const sandboxShim = this.#tasks.get(keyOf({ namespace, id: sandboxId }))?.shim;
      const { shim, pid } = await this.#create(request, { signal, sandboxShim });
      const held = this.#hold(shim, pid);
      if (this.#isClosed) held.release();
      return pid;
    } finally {
      this.#creating.delete(key);
    }
  }

  async start({ execId, ...name }: ProcessName, options: CallOptions = {}): Promise<number> {
    const held = this.#get(name);
    const { pid } = await held.shim.tasks.call("start", { id: name.id, execId }, this.#usual(options));
    if (execId === "" && pid !== 0) held.pid = pid;
    return pid;
  }

  async delete(name: TaskName, options: CallOptions = {}): Promise<ProcessExit> {
    const held = this.#get(name);
    let refusal: LazuliError | undefined;
    let exit: ProcessExit | undefined;
    try {
      const answer = await held.shim.tasks.call("delete", { id: name.id }, this.#usual(options));
      const { pid, exitStatus, exitedAt } = answer;
      exit = { pid, exitStatus, exitedAt: timeOf(exitedAt) };
    } catch (thrown) {
      refusal = LazuliError.from(thrown);
      if (refusal.reason === "shim-closed") {
        exit = await held.exitAfterDeath();
        await this.#mounts.deactivate(name);
        return exit;
      }
      // A shim that does not know the task has nothing to keep.
      if (refusal.code !== "NOT_FOUND") throw thrown;
    }
    if (!held.isReleased) await held.dispose();
    await this.#mounts.deactivate(name);
    if (exit === undefined) throw refusal;
    return exit;
  }

  async deleteProcess({ execId, ...name }: ProcessName, options: CallOptions = {}): Promise<ProcessExit> {
    if (execId === "") {
      throw failedPrecondition(`Cannot delete a process of ${name.id}: want the id of an exec, got none`, {
        subject: name.id,
        reason: "exec-id-missing",
      });
    }
    const { pid, exitStatus, exitedAt } = await this.#call("delete", name, { id: name.id, execId }, options);
    return { pid, exitStatus, exitedAt: timeOf(exitedAt) };
  }

  async state({ execId, ...name }: ProcessName, { signal }: CallOptions = {}): Promise<ProcessState> {
    const timeoutMs = this.#parts.settings.timeouts.stateMs;
    const { tasks } = this.#get(name).shim;
    const state = await tasks
      .call("state", { id: name.id, execId }, { signal, timeoutMs })
      .catch((thrown) => {
        throw LazuliError.from(thrown).reason === "shim-closed" ? missing(name.id) : thrown;
      });
    const { stdin, stdout, stderr, terminal, pid, exitStatus } = state;
    return {
      id: execId === "" ? name.id : execId,
      pid,
      status: processStatuses[state.status] ?? "unknown",
      io: { stdin, stdout, stderr, terminal },
      exitStatus,
      exitedAt: timeOf(state.exitedAt),
    };
  }

  list(namespace?: string) {
    return [...this.#tasks.values()]
      .filter(({ name }) => namespace === undefined || name.namespace === namespace)
      .map(({ name, shim, pid }) => ({
        namespace: name.namespace,
        id: name.id,
        bundle: shim.bundle.path,
        pid,
        sandboxId: shim.sandboxId,
      }));
  }

  async kill(
    request: ProcessName & { readonly signalNumber: number; readonly all: boolean },
    options: CallOptions = {},
  ): Promise<void> {
    const { id, execId, signalNumber, all } = request;
    await this.#call("kill", request, { id, execId, signal: signalNumber, all }, options);
  }

  async exec(request: ExecTask, options: CallOptions = {}): Promise<void> {
    const { id, execId, io, spec } = request;
    requireIdentifier(execId, `invalid exec id ${execId}: `);
    await this.#call("exec", request, { id, execId, ...io, ...anyField("spec", spec) }, options);
  }

  async resizePty(
    request: ProcessName & { readonly width: number; readonly height: number },
    options: CallOptions = {},
  ): Promise<void> {
    const { id, execId, width, height } = request;
    await this.#call("resizePty", request, { id, execId, width, height }, options);
  }

  async closeIo(
    request: ProcessName & { readonly stdin: boolean },
    options: CallOptions = {},
  ): Promise<void> {
    const { id, execId, stdin } = request;
    await this.#call("closeIO", request, { id, execId, stdin }, options);
  }

  async pause(name: TaskName, options: CallOptions = {}): Promise<void> {
    await this.#call("pause", name, { id: name.id }, options);
  }

  async resume(name: TaskName, options: CallOptions = {}): Promise<void> {
    await this.#call("resume", name, { id: name.id }, options);
  }

  async pids(name: TaskName, options: CallOptions = {}): Promise<readonly TaskProcess[]> {
    const { processes } = await this.#call("pids", name, { id: name.id }, options);
    return processes.map(({ pid, info }) => ({ pid, info: anyValue(info) }));
  }

  async checkpoint(
    request: TaskName & { readonly folder: string; readonly options: AnyValue | undefined },
    { signal }: CallOptions = {},
  ): Promise<void> {
    const { id, folder: path } = request;
    const timeoutMs = this.#parts.settings.timeouts.checkpointMs;
    const { tasks } = this.#get(request).shim;
    const message = { id, path, ...anyField("options", request.options) };
    await tasks.call("checkpoint", message, { signal, timeoutMs });
  }

  async update(
    request: TaskName & {
      readonly resources: AnyValue | undefined;
      readonly annotations: Readonly<Record<string, string>>;
    },
    options: CallOptions = {},
  ): Promise<void> {
    const { id } = request;
    const annotations = { ...request.annotations };
    await this.#call(
      "update",
      request,
      { id, annotations, ...anyField("resources", request.resources) },
      options,
    );
  }

  async metrics(name: TaskName, { signal }: CallOptions = {}): Promise<TaskMetrics> {
    const timeoutMs = this.#parts.settings.timeouts.statsMs;
    const { tasks } = this.#get(name).shim;
    const data = anyValue((await tasks.call("stats", { id: name.id }, { signal, timeoutMs })).stats);
    if (data === undefined) throw notFound(`metrics of task ${name.id}`, { reason: "metrics-missing" });
    return { namespace: name.namespace, id: name.id, timestamp: this.#parts.now(), data };
  }

  async wait({ execId, ...name }: ProcessName, { signal }: CallOptions = {}): Promise<ProcessExit> {
    const held = this.#get(name);
    try {
      const request = { id: name.id, execId };
      const answer = await held.shim.tasks.call("wait", request, { signal, timeoutMs: undefined });
      const pid = execId === "" ? held.pid : 0;
      return { pid, exitStatus: answer.exitStatus, exitedAt: timeOf(answer.exitedAt) };
    } catch (thrown) {
      // When we are closing ourselves nothing has ended.
      if (LazuliError.from(thrown).reason !== "shim-closed" || this.#isClosed) throw thrown;
      return await held.exitAfterDeath();
    }
  }

  async runtimeInfo(
    request: { readonly runtime: string; readonly options: AnyValue | undefined },
    { signal }: CallOptions = {},
  ): Promise<RuntimeInfo> {
    const { daemonProgram, timeouts } = this.#parts.settings;
    const program = await shimProgram({ runtime: request.runtime, daemonProgram }).catch((thrown) => {
      throw unresolved(thrown);
    });
    const result = await runProgram({
      program,
      args: ["-info"],
      folder: "/",
      env: process.env,
      stdin: optionsInput(request.options),
      timeoutMs: timeouts.startMs,
      signal,
    });
    if (!result.isSuccess) {
      throw new LazuliError(
        "UNKNOWN",
        `failed to run [${program} -info]: ${result.exitText} (stderr: ${JSON.stringify(result.stderr)})`,
        {
          subject: program,
          reason: "shim-info-failed",
        },
      );
    }
    const { name, version, options, features, annotations } = fromBinary(RuntimeInfoSchema, result.stdout);
    return {
      name,
      version: version?.version ?? "",
      revision: version?.revision ?? "",
      options: anyValue(options),
      features: anyValue(features),
      annotations,
    };
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    for (const held of this.#tasks.values()) held.release();
    this.#tasks.clear();
  }

  /** The mounts that the shim can't make come first, and go with a task that was not made. */
  async #create(request: CreateTask, options: CreateTaskOptions): Promise<CreatedTask> {
    const rootfs = await this.#mounts.activate(request, options);
    try {
      return await createTask(this.#parts.settings, { ...request, rootfs }, options);
    } catch (thrown) {
      if (rootfs !== request.rootfs) await this.#mounts.deactivate(request);
      throw thrown;
    }
  }

  #hold(shim: Shim, pid: number): HeldTask {
    const key = keyOf(shim.bundle);
    const held: HeldTask = new HeldTask({
      ...this.#parts,
      shim,
      pid,
      onGone: () => {
        if (this.#tasks.get(key) === held) this.#tasks.delete(key);
        if (held.isDead) void this.#mounts.deactivate(shim.bundle);
      },
    });
    this.#tasks.set(key, held);
    return held;
  }

  #get(name: TaskName): HeldTask {
    const held = this.#tasks.get(keyOf(name));
    if (held === undefined || held.isReleased) throw missing(name.id);
    return held;
  }

  #usual({ signal }: CallOptions) {
    return { signal, timeoutMs: this.#parts.settings.timeouts.callMs };
  }

  /** A call about one task, with the usual time. */
  async #call<Name extends TaskMethod>(
    name: Name,
    task: TaskName,
    request: TaskRequest<Name>,
    options: CallOptions,
  ): Promise<TaskAnswer<Name>> {
    return await this.#get(task).shim.tasks.call(name, request, this.#usual(options));
  }
}

function keyOf({ namespace, id }: TaskName): string {
  return `${namespace}/${id}`;
}

/** containerd has no code for it, so that its clients show the text alone. */
function unresolved(thrown: unknown): LazuliError {
  const { message, reason = "shim-missing" } = LazuliError.from(thrown);
  return new LazuliError("UNKNOWN", `failed to resolve runtime path: ${message}`, { reason, cause: thrown });
}

function missing(id: string): LazuliError {
  return notFound(`task ${id}`, { subject: id, reason: "task-missing" });
}
