import { fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { AnySchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, type ConnectRouter, type HandlerContext } from "@connectrpc/connect";
import {
  type CheckpointTaskRequest,
  type CreateTaskRequest,
  type ListTasksResponseSchema,
  type MetricsResponseSchema,
  Tasks,
} from "../../gen/containerd/services/tasks/v1/tasks_pb.js";
import { CheckpointOptionsSchema } from "../../gen/containerd/types/runc/options/oci_pb.js";
import { parseDigest } from "../bytes/index.js";
import type { ContentStore } from "../content/index.js";
import { invalidArgument, LazuliError } from "../errors/index.js";
import { parseFilters } from "../filters/index.js";
import type { ContainerRow, ContainerTable } from "../metadata/index.js";
import { log } from "../observe/index.js";
import type { HeldTask, ProcessExit, ProcessName, ProcessState, TaskManager } from "../runtime/index.js";
import { type RequestContext, requestContext } from "./request-context.js";
import { answer } from "./rpc-error.js";
import { timestampOf } from "./snapshot-messages.js";
import {
  checkpointFolder,
  checkpointTypes,
  storeBytes,
  storeFolder,
  unpackCheckpoint,
} from "./tasks-checkpoint.js";
import { exitedField, processMessage } from "./tasks-messages.js";
import { anyField, anyMessage, anyValueOf } from "./workload-messages.js";

export interface TasksServiceOptions {
  readonly tasks: TaskManager;
  readonly containers: ContainerTable;
  readonly contentOf: (context: RequestContext) => ContentStore;
}

/** `containerd.services.tasks.v1`. */
export function tasksService(options: TasksServiceOptions): (router: ConnectRouter) => void {
  const calls = new TaskCalls(options);
  const { tasks } = options;
  return (router) => {
    router.service(Tasks, {
      create: (request, context) => answer(() => calls.create(request, context)),
      start: (request, context) =>
        answer(async () => ({ pid: await tasks.start(calls.name(request, context), context) })),
      delete: (request, context) =>
        answer(async () => exitMessage(await tasks.delete(calls.name(request, context), context))),
      deleteProcess: (request, context) =>
        answer(async () => ({
          id: request.execId,
          ...exitMessage(await tasks.deleteProcess(calls.name(request, context), context)),
        })),
      get: (request, context) =>
        answer(async () => ({
          process: processMessage(await calls.state(calls.name(request, context), context)),
        })),
      list: (_request, context) => answer(() => calls.list(context)),
      kill: (request, context) =>
        answer(async () => {
          const name = calls.name(request, context);
          await tasks.kill({ ...name, signalNumber: request.signal, all: request.all }, context);
          return {};
        }),
      exec: (request, context) =>
        answer(async () => {
          if (request.execId === "") {
            throw invalidArgument("exec id cannot be empty", { reason: "exec-id-missing" });
          }
          const name = calls.name(request, context);
          await tasks.exec({ ...name, spec: anyValueOf(request.spec), io: ioOf(request) }, context);
          return {};
        }),
      resizePty: (request, context) =>
        answer(async () => {
          const { width, height } = request;
          await tasks.resizePty({ ...calls.name(request, context), width, height }, context);
          return {};
        }),
      closeIO: (request, context) =>
        answer(async () => {
          await tasks.closeIo({ ...calls.name(request, context), stdin: request.stdin }, context);
          return {};
        }),
      pause: (request, context) =>
        answer(async () => {
          await tasks.pause(calls.name(request, context), context);
          return {};
        }),
      resume: (request, context) =>
        answer(async () => {
          await tasks.resume(calls.name(request, context), context);
          return {};
        }),
      listPids: (request, context) =>
        answer(async () => {
          const processes = await tasks.pids(calls.name(request, context), context);
          return { processes: processes.map(({ pid, info }) => ({ pid, ...anyField("info", info) })) };
        }),
      checkpoint: (request, context) => answer(() => calls.checkpoint(request, context)),
      update: (request, context) =>
        answer(async () => {
          const resources = anyValueOf(request.resources);
          const { annotations } = request;
          await tasks.update({ ...calls.name(request, context), resources, annotations }, context);
          return {};
        }),
      metrics: (request, context) => answer(() => calls.metrics(request.filters, context)),
      wait: (request, context) =>
        answer(async () => {
          const { exitStatus, exitedAt } = await tasks.wait(calls.name(request, context), context);
          return { exitStatus, ...exitedField(exitedAt) };
        }),
    });
  };
}

class TaskCalls {
  readonly #tasks: TaskManager;
  readonly #containers: ContainerTable;
  readonly #contentOf: (context: RequestContext) => ContentStore;

  constructor({ tasks, containers, contentOf }: TasksServiceOptions) {
    this.#tasks = tasks;
    this.#containers = containers;
    this.#contentOf = contentOf;
  }

  /** Of a container that is there. @throws NOT_FOUND */
  name(
    request: { readonly containerId: string; readonly execId?: string },
    { requestHeader }: HandlerContext,
  ): ProcessName {
    const { namespace } = requestContext(requestHeader);
    const id = request.containerId;
    this.#containers.get({ namespace, id });
    if (!this.#tasks.list(namespace).some((task) => task.id === id)) {
      // containerd's text, which has no ending of its kind.
      throw new ConnectError(`task ${id} not found`, Code.NotFound);
    }
    return { namespace, id, execId: request.execId ?? "" };
  }

  async create(request: CreateTaskRequest, context: HandlerContext) {
    const { signal, requestHeader } = context;
    const scope = requestContext(requestHeader);
    const { containerId: id, runtimePath, taskApiAddress } = request;
    const container = this.#containers.get({ ...scope, id });
    await using checkpoint = await this.#checkpointOf(request, { scope, signal });
    const pid = await this.#tasks.create(
      {
        namespace: scope.namespace,
        id,
        runtime: runtimePath === "" ? container.runtime.name : runtimePath,
        runtimeOptions: container.runtime.options,
        taskOptions: anyValueOf(request.options),
        spec: container.spec,
        rootfs: request.rootfs.map(({ type, source, target, options }) => ({
          type,
          source,
          target,
          options,
        })),
        io: ioOf(request),
        checkpointFolder: checkpoint?.path ?? "",
        sandboxId: container.sandboxId,
        sandboxAddress: container.sandboxId === "" ? "" : taskApiAddress,
      },
      { signal },
    );
    return { containerId: id, pid };
  }

  /** A shim that does not answer in time leaves the status unknown, as in containerd. */
  async state(name: ProcessName, { signal }: HandlerContext): Promise<ProcessState> {
    try {
      return await this.#tasks.state(name, { signal });
    } catch (thrown) {
      const { code, message } = LazuliError.from(thrown);
      if (code === "NOT_FOUND" || code === "UNAVAILABLE" || code === "CANCELED") throw thrown;
      log.error("Cannot get the state of a process", { id: name.id, execId: name.execId, error: message });
      return {
        id: name.execId === "" ? name.id : name.execId,
        pid: 0,
        status: "unknown",
        io: { stdin: "", stdout: "", stderr: "", terminal: false },
        exitStatus: 0,
        exitedAt: undefined,
      };
    }
  }

  async list(context: HandlerContext): Promise<MessageInitShape<typeof ListTasksResponseSchema>> {
    const { namespace } = requestContext(context.requestHeader);
    const states = await Promise.all(
      this.#tasks.list(namespace).map((task) =>
        this.state({ ...task, execId: "" }, context).catch((thrown) => {
          // It has ended meanwhile.
          log.debug("A task is not listed", { id: task.id, error: LazuliError.from(thrown).message });
          return undefined;
        }),
      ),
    );
    return { tasks: states.filter((state) => state !== undefined).map(processMessage) };
  }

  async metrics(
    filters: readonly string[],
    { requestHeader, signal }: HandlerContext,
  ): Promise<MessageInitShape<typeof MetricsResponseSchema>> {
    const { namespace } = requestContext(requestHeader);
    const matches = parseFilters(filters);
    const tasks = this.#tasks.list(namespace).filter((task) => matches(([field]) => taskField(task, field)));
    const metrics = await Promise.all(
      tasks.map((task) =>
        this.#tasks.metrics(task, { signal }).catch((thrown) => {
          log.error("Cannot get the metrics of a task", {
            id: task.id,
            error: LazuliError.from(thrown).message,
          });
          return undefined;
        }),
      ),
    );
    return {
      metrics: metrics
        .filter((one) => one !== undefined)
        .map(({ id, timestamp, data }) => ({
          id,
          timestamp: timestampOf(timestamp),
          data: anyMessage(data),
        })),
    };
  }

  /** Into a folder that the options name, or into the content store: then with the spec beside it. */
  async checkpoint(request: CheckpointTaskRequest, context: HandlerContext) {
    const { signal, requestHeader } = context;
    const scope = requestContext(requestHeader);
    const name = this.name(request, context);
    const options = anyValueOf(request.options);
    const own = imagePathOf(request);
    if (own !== "") {
      await this.#tasks.checkpoint({ ...name, folder: own, options }, { signal });
      return { descriptors: [] };
    }
    await using folder = await checkpointFolder();
    await this.#tasks.checkpoint({ ...name, folder: folder.path, options }, { signal });
    const store = this.#contentOf(scope);
    const blobs = [
      await storeFolder(store, folder.path),
      await storeBytes(store, {
        ref: `${folder.path}/spec`,
        mediaType: checkpointTypes.spec,
        bytes: specBytes(this.#containers.get({ ...scope, id: name.id })),
      }),
    ];
    return { descriptors: blobs.map((blob) => ({ ...blob, size: BigInt(blob.size) })) };
  }

  async #checkpointOf(
    { checkpoint }: CreateTaskRequest,
    { scope, signal }: { readonly scope: RequestContext; readonly signal: AbortSignal },
  ) {
    if (checkpoint === undefined) return undefined;
    if (checkpoint.mediaType !== checkpointTypes.images) {
      throw invalidArgument(`unsupported checkpoint type ${JSON.stringify(checkpoint.mediaType)}`, {
        subject: checkpoint.digest,
        reason: "checkpoint-type-unsupported",
      });
    }
    await using blob = await this.#contentOf(scope).open(parseDigest(checkpoint.digest), { signal });
    const folder = await checkpointFolder();
    try {
      await unpackCheckpoint(blob, folder.path, { signal });
      return folder;
    } catch (thrown) {
      await folder[Symbol.asyncDispose]();
      throw thrown;
    }
  }
}

function ioOf({
  stdin,
  stdout,
  stderr,
  terminal,
}: {
  readonly stdin: string;
  readonly stdout: string;
  readonly stderr: string;
  readonly terminal: boolean;
}) {
  return { stdin, stdout, stderr, terminal };
}

function exitMessage({ pid, exitStatus, exitedAt }: ProcessExit) {
  return { pid, exitStatus, ...exitedField(exitedAt) };
}

function taskField(task: HeldTask, field: string | undefined): string | undefined {
  return field === "id" ? task.id : field === "namespace" ? task.namespace : undefined;
}

function imagePathOf({ options }: CheckpointTaskRequest): string {
  if (options?.typeUrl !== CheckpointOptionsSchema.typeName) return "";
  try {
    return fromBinary(CheckpointOptionsSchema, options.value).imagePath;
  } catch (cause) {
    throw invalidArgument(`Cannot checkpoint: want ${options.typeUrl}, got other bytes`, {
      reason: "checkpoint-options-invalid",
      cause,
    });
  }
}

function specBytes({ spec }: ContainerRow): Uint8Array {
  if (spec === undefined) return new Uint8Array();
  return toBinary(AnySchema, { $typeName: "google.protobuf.Any", ...anyMessage(spec) } as never);
}
