import type { AnyValue } from "../metadata/index.js";
import type { Mount } from "../snapshotters/index.js";

/** Nanoseconds since 1970. */
type Nanoseconds = bigint;

/** A container's task. */
export interface TaskName {
  readonly namespace: string;
  readonly id: string;
}

/** A process of a task; `execId` "" is the first one. */
export interface ProcessName extends TaskName {
  readonly execId: string;
}

/** Paths of FIFOs, or URIs that the shim knows (`file://`, `binary://`); "" for none. */
export interface TaskIo {
  readonly stdin: string;
  readonly stdout: string;
  readonly stderr: string;
  readonly terminal: boolean;
}

export interface CreateTask extends TaskName {
  /** `io.containerd.<name>.<version>`, or the absolute path of a shim. */
  readonly runtime: string;
  /** Of the container. */
  readonly runtimeOptions: AnyValue | undefined;
  /** Of this task; undefined: the runtime's. */
  readonly taskOptions: AnyValue | undefined;
  /** Written to the bundle as it is. */
  readonly spec: AnyValue | undefined;
  /** Mounted by the shim; empty: the spec names its root itself. */
  readonly rootfs: readonly Mount[];
  readonly io: TaskIo;
  /** Folder with the images of CRIU to begin from; "" for none. */
  readonly checkpointFolder: string;
  /** The task runs in the shim of this sandbox; "" for a shim of its own. */
  readonly sandboxId: string;
  /** Where the sandbox's tasks are served (`ttrpc+unix://…`); "": in a shim that this manager started. */
  readonly sandboxAddress: string;
}

export interface ExecTask extends ProcessName {
  /** An OCI process in JSON, with its type. */
  readonly spec: AnyValue | undefined;
  readonly io: TaskIo;
}

export const processStatuses = ["unknown", "created", "running", "stopped", "paused", "pausing"] as const;
export type ProcessStatus = (typeof processStatuses)[number];

export interface ProcessState {
  /** Of the exec; of the task for its first process. */
  readonly id: string;
  readonly pid: number;
  readonly status: ProcessStatus;
  readonly io: TaskIo;
  readonly exitStatus: number;
  /** Undefined while it runs. */
  readonly exitedAt: Nanoseconds | undefined;
}

export interface ProcessExit {
  readonly pid: number;
  /** 128 and the signal's number where a signal ended it; 255 where nobody knows. */
  readonly exitStatus: number;
  readonly exitedAt: Nanoseconds | undefined;
}

export interface TaskProcess {
  readonly pid: number;
  /** What the runtime tells of it, e.g. containerd.runc.v1.ProcessDetails. */
  readonly info: AnyValue | undefined;
}

/** A task that this manager has. */
export interface HeldTask extends TaskName {
  readonly bundle: string;
  readonly pid: number;
  readonly sandboxId: string;
}

export interface TaskMetrics extends TaskName {
  readonly timestamp: Nanoseconds;
  /** io.containerd.cgroups.v1.Metrics, for instance. */
  readonly data: AnyValue;
}

export interface RuntimeInfo {
  readonly name: string;
  readonly version: string;
  readonly revision: string;
  readonly options: AnyValue | undefined;
  readonly features: AnyValue | undefined;
  readonly annotations: Readonly<Record<string, string>>;
}

interface CallOptions {
  /** Ends the wait. A shim may finish what it was asked nevertheless. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Runs tasks in shims, as containerd's `core/runtime/v2.TaskManager`. All calls throw NOT_FOUND for a task that is not
 * there, DEADLINE_EXCEEDED (reason `shim-slow`) when the shim does not answer in time, UNAVAILABLE when its connection
 * ends, and else what the shim answers. Events of tasks come from the shims; those of a dead shim's tasks from here.
 */
export interface TaskManager {
  /** Ends with the pid. @throws ALREADY_EXISTS; FAILED_PRECONDITION the shim is not installed; INVALID_ARGUMENT */
  create(request: CreateTask, options?: CallOptions): Promise<number>;
  /** Ends with the pid of the process. */
  start(name: ProcessName, options?: CallOptions): Promise<number>;
  /** Deletes a task that has ended, its shim and its bundle. While it runs the shim refuses, runc's with UNKNOWN. */
  delete(name: TaskName, options?: CallOptions): Promise<ProcessExit>;
  /** Deletes an exec that has ended; `execId` is not "". */
  deleteProcess(name: ProcessName, options?: CallOptions): Promise<ProcessExit>;
  /** Asks the shim. */
  state(name: ProcessName, options?: CallOptions): Promise<ProcessState>;
  /** Tasks of a namespace, or of all, in the order of their creation. Asks no shim. */
  list(namespace?: string): readonly HeldTask[];
  kill(
    request: ProcessName & { readonly signalNumber: number; readonly all: boolean },
    options?: CallOptions,
  ): Promise<void>;
  /** Adds a process; start() runs it. @throws ALREADY_EXISTS; INVALID_ARGUMENT */
  exec(request: ExecTask, options?: CallOptions): Promise<void>;
  resizePty(
    request: ProcessName & { readonly width: number; readonly height: number },
    options?: CallOptions,
  ): Promise<void>;
  /** Closes what the shim holds of the process's stdin. */
  closeIo(request: ProcessName & { readonly stdin: boolean }, options?: CallOptions): Promise<void>;
  pause(name: TaskName, options?: CallOptions): Promise<void>;
  resume(name: TaskName, options?: CallOptions): Promise<void>;
  pids(name: TaskName, options?: CallOptions): Promise<readonly TaskProcess[]>;
  /** Writes the images of CRIU into `folder`. */
  checkpoint(
    request: TaskName & { readonly folder: string; readonly options: AnyValue | undefined },
    options?: CallOptions,
  ): Promise<void>;
  update(
    request: TaskName & {
      readonly resources: AnyValue | undefined;
      readonly annotations: Readonly<Record<string, string>>;
    },
    options?: CallOptions,
  ): Promise<void>;
  metrics(name: TaskName, options?: CallOptions): Promise<TaskMetrics>;
  /** Until the process has ended, also if its shim dies meanwhile. */
  wait(name: ProcessName, options?: CallOptions): Promise<ProcessExit>;
  /** What the runtime says of itself (`-info` of the shim). */
  runtimeInfo(
    request: { readonly runtime: string; readonly options: AnyValue | undefined },
    options?: CallOptions,
  ): Promise<RuntimeInfo>;
  /** Leaves the shims and what runs in them alone. */
  close(): Promise<void>;
}
