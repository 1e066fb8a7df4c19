import type { Container as ContainerMessage } from "../../gen/containerd/services/containers/v1/containers_pb.js";
import { LazuliError, notFound } from "../errors/index.js";
import type { Accounts, RuntimeSpec } from "../spec/index.js";
import type { Connection } from "./connection.js";
import { type Labels, nanosecondsOf, specOf, type Waiting } from "./messages.js";
import { readAccounts } from "./mounted-rootfs.js";
import { attachIo, openIo, type StreamIo, type TaskIo } from "./task-io.js";
import { Task } from "./tasks.js";
import { removeSnapshot } from "./unpack.js";

export const STOP_SIGNAL_LABEL = "io.containerd.image.config.stop-signal";

export interface NewTaskOptions extends Waiting {
  readonly io: TaskIo;
}

/** A container as the server keeps it: what to run, on which file system. That it runs is its task. */
export class Container {
  readonly id: string;
  readonly image: string;
  readonly labels: Labels;
  readonly runtime: string;
  readonly snapshotter: string;
  readonly snapshotKey: string;
  readonly spec: RuntimeSpec;
  /** Nanoseconds since 1970. */
  readonly createdAt: bigint;
  readonly #connection: Connection;
  readonly #message: ContainerMessage;
  readonly #fifoFolder: string;

  constructor(connection: Connection, message: ContainerMessage, fifoFolder: string) {
    this.#connection = connection;
    this.#message = message;
    this.#fifoFolder = fifoFolder;
    this.id = message.id;
    this.image = message.image;
    this.labels = message.labels;
    this.runtime = message.runtime?.name ?? "";
    this.snapshotter = message.snapshotter;
    this.snapshotKey = message.snapshotKey;
    this.spec = specOf(message.spec);
    this.createdAt = nanosecondsOf(message.createdAt);
  }

  /** What its image wants to be stopped by. */
  get stopSignal(): string {
    return this.labels[STOP_SIGNAL_LABEL] || "SIGTERM";
  }

  /** Makes the process, which waits for `start`. @throws ALREADY_EXISTS when it has a task, and what the runtime says */
  async newTask({ io: wanted, signal }: NewTaskOptions): Promise<Task> {
    const { id } = this;
    const rootfs = await this.#mounts({ signal });
    const io = await openIo(wanted, { id, fifoFolder: this.#fifoFolder });
    const { stdin, stdout, stderr, isTerminal: terminal } = io;
    const options = this.#message.runtime?.options;
    try {
      const { pid } = await this.#connection.call(
        { action: "make a task", subject: id, signal },
        async ({ tasks }, call) =>
          await tasks.create(
            {
              containerId: id,
              rootfs: [...rootfs],
              stdin,
              stdout,
              stderr,
              terminal,
              ...(options === undefined ? {} : { options }),
            },
            call,
          ),
      );
      return this.#task(pid, io);
    } catch (thrown) {
      await io.close();
      throw thrown;
    }
  }

  /** Its task; with streams, those take part in what it reads and writes. @throws NOT_FOUND `task-missing` */
  async task({ io, signal }: Waiting & { readonly io?: StreamIo } = {}): Promise<Task> {
    const { id } = this;
    const facts = { action: "look up a task", subject: id, signal };
    const answer = await this.#connection.read(
      facts,
      async ({ tasks }, options) => await tasks.get({ containerId: id }, options),
    );
    const { process } = answer;
    if (process === undefined)
      throw notFound(`Cannot find the task of ${id}`, { subject: id, reason: "task-missing" });
    const { stdin, stdout, stderr, terminal: isTerminal } = process;
    const streams = io === undefined ? undefined : { ...io, isTerminal };
    const paths = { stdin, stdout, stderr };
    return this.#task(process.pid, attachIo({ streams, paths, fifoFolder: this.#fifoFolder }));
  }

  /** /etc/passwd and /etc/group in it, for `exec` as somebody else. Needs the right to mount. */
  async accounts(waiting: Waiting = {}): Promise<Accounts> {
    return await readAccounts(await this.#mounts(waiting), waiting);
  }

  async setLabels(labels: Labels, { signal }: Waiting = {}): Promise<Container> {
    const container = { id: this.id, labels: { ...labels } };
    const updateMask = { paths: Object.keys(labels).map((key) => `labels.${key}`) };
    const answer = await this.#connection.call(
      { action: "label a container", subject: this.id, signal },
      async ({ containers }, options) => await containers.update({ container, updateMask }, options),
    );
    return new Container(this.#connection, answer.container ?? this.#message, this.#fifoFolder);
  }

  /** Takes it away with its file system. @throws FAILED_PRECONDITION while it has a task */
  async delete({
    keepSnapshot = false,
    signal,
  }: Waiting & { readonly keepSnapshot?: boolean } = {}): Promise<void> {
    const { id, snapshotter, snapshotKey: key } = this;
    const facts = { action: "delete a container", subject: id, signal };
    if (await this.#hasTask(signal)) {
      throw new LazuliError("FAILED_PRECONDITION", `Cannot delete the container ${id}: it has a task`, {
        subject: id,
        reason: "container-has-task",
        hint: "Stop it, and delete its task",
      });
    }
    if (!keepSnapshot && key !== "") {
      await removeSnapshot(this.#connection, { snapshotter, key, signal }).catch(ignoreMissing);
    }
    await this.#connection.call(facts, async ({ containers }, options) => {
      await containers.delete({ id }, options);
    });
  }

  async #hasTask(signal: AbortSignal | undefined): Promise<boolean> {
    try {
      await this.task({ signal });
      return true;
    } catch (thrown) {
      ignoreMissing(thrown);
      return false;
    }
  }

  async #mounts({ signal }: Waiting) {
    const { snapshotter, snapshotKey: key } = this;
    if (key === "") return [];
    const facts = { action: "look up mounts", subject: key, signal };
    const answer = await this.#connection.read(
      facts,
      async ({ snapshots }, options) => await snapshots.mounts({ snapshotter, key }, options),
    );
    return answer.mounts;
  }

  #task(pid: number, io: Awaited<ReturnType<typeof openIo>>): Task {
    return new Task({
      connection: this.#connection,
      containerId: this.id,
      pid,
      io,
      fifoFolder: this.#fifoFolder,
    });
  }
}

function ignoreMissing(thrown: unknown): void {
  if (!(thrown instanceof LazuliError) || thrown.code !== "NOT_FOUND") throw thrown;
}

interface Place extends Waiting {
  readonly fifoFolder: string;
}

/** @throws NOT_FOUND `container-unknown` */
export async function findContainer(connection: Connection, id: string, place: Place): Promise<Container> {
  try {
    const answer = await connection.read(
      { action: "look up a container", subject: id, signal: place.signal },
      async ({ containers }, options) => await containers.get({ id }, options),
    );
    if (answer.container !== undefined) return new Container(connection, answer.container, place.fifoFolder);
  } catch (thrown) {
    ignoreMissing(thrown);
  }
  throw notFound(
    `Cannot find the container ${JSON.stringify(id)} in the namespace ${connection.scope.namespace}`,
    {
      subject: id,
      reason: "container-unknown",
      hint: "`lazuli ps --all` lists those that are here",
    },
  );
}

export async function listContainers(
  connection: Connection,
  { filters = [], ...place }: Place & { readonly filters?: readonly string[] | undefined },
): Promise<readonly Container[]> {
  const answer = await connection.read(
    { action: "list containers", signal: place.signal },
    async ({ containers }, options) => await containers.list({ filters: [...filters] }, options),
  );
  return answer.containers.map((message) => new Container(connection, message, place.fifoFolder));
}
