import { constants } from "node:os";
import type { Any } from "@bufbuild/protobuf/wkt";
import { type Process, Status } from "../../gen/containerd/types/task/task_pb.js";
import { delay } from "../async/index.js";
import { invalidArgument, LazuliError } from "../errors/index.js";
import type { LinuxResources, ProcessSpec } from "../spec/index.js";
import type { Connection } from "./connection.js";
import { dateOf, jsonAny, specTypes, type Target, targetOf, type Waiting } from "./messages.js";
import { type OpenIo, openIo, type TaskIo } from "./task-io.js";

export interface ExitStatus {
  /** 128 + n after signal n, as shells have it. */
  readonly code: number;
  readonly exitedAt: Date | undefined;
}

export type ProcessState = "unknown" | "created" | "running" | "stopped" | "paused" | "pausing";

export interface ProcessStatus {
  readonly state: ProcessState;
  readonly pid: number;
  /** Of one that is stopped. */
  readonly exit: ExitStatus;
}

/** A number, or a name with or without SIG. */
export type Signal = number | string;

/** How long `wait` asks again while the server is away: a minute in steps of a quarter of a second. */
const RECONNECTS_MAX = 240;
const RECONNECT_MS = 250;

const states: Readonly<Record<Status, ProcessState>> = {
  [Status.UNKNOWN]: "unknown",
  [Status.CREATED]: "created",
  [Status.RUNNING]: "running",
  [Status.STOPPED]: "stopped",
  [Status.PAUSED]: "paused",
  [Status.PAUSING]: "pausing",
};

/** @throws INVALID_ARGUMENT `signal-unknown` */
export function signalNumber(signal: Signal): number {
  if (typeof signal === "number" || /^[0-9]+$/.test(signal)) {
    const number = Number(signal);
    if (Number.isInteger(number) && number > 0 && number <= 64) return number;
  } else {
    const upper = signal.toUpperCase();
    const name = upper.startsWith("SIG") ? upper : `SIG${upper}`;
    const known = Object.entries(constants.signals).find(([one]) => one === name);
    if (known !== undefined) return known[1];
  }
  throw invalidArgument(`Cannot send the signal ${JSON.stringify(signal)}: Linux has none of this name`, {
    subject: String(signal),
    reason: "signal-unknown",
    hint: "Give a number from 1 to 64 or a name of signal(7), e.g. TERM",
  });
}

interface ProcessParts {
  readonly connection: Connection;
  readonly containerId: string;
  /** "": the container's first process. */
  readonly execId: string;
  readonly io: OpenIo;
}

/** A process of a container: its first one or an exec. */
export class ContainerProcess {
  readonly containerId: string;
  readonly execId: string;
  protected readonly connection: Connection;
  protected readonly io: OpenIo;

  constructor({ connection, containerId, execId, io }: ProcessParts) {
    this.connection = connection;
    this.containerId = containerId;
    this.execId = execId;
    this.io = io;
    // The shim holds the FIFO open: only it can tell the process that the input has ended.
    io.onStdinEnd = () => void this.closeStdin().catch(() => undefined);
  }

  /** Runs it. @returns its process id on the server's machine */
  async start(waiting: Waiting = {}): Promise<number> {
    const { pid } = await this.#call("start a process", waiting, (tasks, key, options) =>
      tasks.start(key, options),
    );
    this.io.startInput();
    return pid;
  }

  /**
   * Waits for the end. Asks again while the server restarts, for a minute. @throws NOT_FOUND when it is deleted already
   */
  async wait(waiting: Waiting = {}): Promise<ExitStatus> {
    for (let tries = 0; ; tries += 1) {
      try {
        const answer = await this.#call("wait for a process", waiting, (tasks, key, options) =>
          tasks.wait(key, options),
        );
        return { code: answer.exitStatus, exitedAt: dateOf(answer.exitedAt) };
      } catch (thrown) {
        const isAway = thrown instanceof LazuliError && thrown.reason === "server-unreachable";
        if (!isAway || tries === RECONNECTS_MAX) throw thrown;
        await delay(RECONNECT_MS, waiting);
      }
    }
  }

  /** Both outputs are written to where they go. Comes after the end of the process and of those it has left behind. */
  get outputFinished(): Promise<void> {
    return this.io.finished;
  }

  /** `all`: to every process of the container. @throws NOT_FOUND when it has ended */
  async kill(
    signal: Signal,
    { all = false, ...waiting }: Waiting & { readonly all?: boolean } = {},
  ): Promise<void> {
    const number = signalNumber(signal);
    await this.#call("signal a process", waiting, (tasks, key, options) =>
      tasks.kill({ ...key, signal: number, all }, options),
    );
  }

  async resize(
    size: { readonly columns: number; readonly rows: number },
    waiting: Waiting = {},
  ): Promise<void> {
    await this.#call("resize a terminal", waiting, (tasks, key, options) =>
      tasks.resizePty({ ...key, width: size.columns, height: size.rows }, options),
    );
  }

  /** Tells the process that its input has ended. */
  async closeStdin(waiting: Waiting = {}): Promise<void> {
    await this.#call("close the input", waiting, (tasks, key, options) =>
      tasks.closeIO({ ...key, stdin: true }, options),
    );
  }

  async status(waiting: Waiting = {}): Promise<ProcessStatus> {
    const { process } = await this.#call("look up a process", waiting, (tasks, key, options) =>
      tasks.get(key, options),
    );
    return processStatus(process);
  }

  /** Forgets one that has ended, with its FIFOs. @throws FAILED_PRECONDITION while it runs */
  async delete(waiting: Waiting = {}): Promise<ExitStatus> {
    const answer = await this.#call("delete a process", waiting, (tasks, key, options) =>
      this.execId === ""
        ? tasks.delete({ containerId: this.containerId }, options)
        : tasks.deleteProcess(key, options),
    );
    await this.io.close();
    return { code: answer.exitStatus, exitedAt: dateOf(answer.exitedAt) };
  }

  /** Stops copying streams; the process goes on. */
  detach(): void {
    this.io.stop();
  }

  async #call<T>(
    action: string,
    { signal }: Waiting,
    work: (
      tasks: Connection["services"]["tasks"],
      key: { containerId: string; execId: string },
      options: ReturnType<Connection["options"]>,
    ) => Promise<T>,
  ): Promise<T> {
    const { containerId, execId } = this;
    const subject = execId === "" ? containerId : `${containerId}/${execId}`;
    return await this.connection.call(
      { action, subject, signal },
      async ({ tasks }, options) => await work(tasks, { containerId, execId }, options),
    );
  }
}

export function processStatus(process: Process | undefined): ProcessStatus {
  return {
    state: states[process?.status ?? Status.UNKNOWN],
    pid: process?.pid ?? 0,
    exit: { code: process?.exitStatus ?? 0, exitedAt: dateOf(process?.exitedAt) },
  };
}

export interface ExecOptions extends Waiting {
  /** Unique in the container. */
  readonly id: string;
  readonly process: ProcessSpec;
  readonly io: TaskIo;
}

export interface TaskParts extends Omit<ProcessParts, "execId"> {
  readonly pid: number;
  readonly fifoFolder: string;
}

/** A container that runs or has run. */
export class Task extends ContainerProcess {
  /** On the server's machine. */
  readonly pid: number;
  readonly #fifoFolder: string;

  constructor(parts: TaskParts) {
    super({ ...parts, execId: "" });
    this.pid = parts.pid;
    this.#fifoFolder = parts.fifoFolder;
  }

  /** Prepares one more process; `start` runs it. @throws ALREADY_EXISTS, NOT_FOUND */
  async exec({ id, process, io: wanted, signal }: ExecOptions): Promise<ContainerProcess> {
    const { containerId } = this;
    const io = await openIo(wanted, { id, fifoFolder: this.#fifoFolder });
    const { stdin, stdout, stderr, isTerminal } = io;
    try {
      const spec = jsonAny(specTypes.process, { ...process, terminal: isTerminal });
      const facts = { action: "prepare a process", subject: `${containerId}/${id}`, signal };
      await this.connection.call(facts, async ({ tasks }, options) => {
        await tasks.exec(
          { containerId, execId: id, stdin, stdout, stderr, terminal: isTerminal, spec },
          options,
        );
      });
    } catch (thrown) {
      await io.close();
      throw thrown;
    }
    return new ContainerProcess({ connection: this.connection, containerId, execId: id, io });
  }

  async pause({ signal }: Waiting = {}): Promise<void> {
    const { containerId } = this;
    await this.connection.call(
      { action: "pause", subject: containerId, signal },
      async ({ tasks }, options) => {
        await tasks.pause({ containerId }, options);
      },
    );
  }

  async resume({ signal }: Waiting = {}): Promise<void> {
    const { containerId } = this;
    await this.connection.call(
      { action: "resume", subject: containerId, signal },
      async ({ tasks }, options) => {
        await tasks.resume({ containerId }, options);
      },
    );
  }

  /** Process ids on the server's machine. */
  async pids({ signal }: Waiting = {}): Promise<readonly number[]> {
    const { containerId } = this;
    const facts = { action: "list processes", subject: containerId, signal };
    const answer = await this.connection.call(
      facts,
      async ({ tasks }, options) => await tasks.listPids({ containerId }, options),
    );
    return answer.processes.map(({ pid }) => pid);
  }

  /** Cgroup numbers as the shim gives them: `io.containerd.cgroups.v1.Metrics` or v2's, packed. */
  async metrics({ signal }: Waiting = {}): Promise<Any | undefined> {
    const { containerId } = this;
    const facts = { action: "read metrics", subject: containerId, signal };
    const answer = await this.connection.call(
      facts,
      async ({ tasks }, options) => await tasks.metrics({ filters: [`id==${containerId}`] }, options),
    );
    return answer.metrics[0]?.data;
  }

  async update(resources: LinuxResources, { signal }: Waiting = {}): Promise<void> {
    const { containerId } = this;
    const facts = { action: "change limits", subject: containerId, signal };
    await this.connection.call(facts, async ({ tasks }, options) => {
      await tasks.update({ containerId, resources: jsonAny(specTypes.resources, resources) }, options);
    });
  }

  /** What CRIU has written, in the content store: keep a lease while it is needed. `options`: typed for the runtime. */
  async checkpoint(
    request: Waiting & { readonly options?: { readonly typeUrl: string; readonly value: Uint8Array } } = {},
  ): Promise<readonly Target[]> {
    const { containerId } = this;
    const facts = { action: "checkpoint", subject: containerId, signal: request.signal };
    const own = request.options === undefined ? {} : { options: request.options };
    const answer = await this.connection.call(
      facts,
      async ({ tasks }, options) => await tasks.checkpoint({ containerId, ...own }, options),
    );
    return answer.descriptors.map(targetOf);
  }
}
