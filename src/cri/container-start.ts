import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type Options, OptionsSchema } from "../../gen/containerd/types/runc/options/oci_pb.js";
import { ContainerEventType, NamespaceMode } from "../../gen/runtime/v1/api_pb.js";
import { failedPrecondition, LazuliError, notFound } from "../errors/index.js";
import type { AnyValue } from "../metadata/index.js";
import { failurePoint, log } from "../observe/index.js";
import type { FifoPaths } from "../pipes/index.js";
import type { IdMap, RuntimeSpec } from "../spec/index.js";
import { logPlugin, targetOf, within } from "./container-create.js";
import { watchExit } from "./container-exit.js";
import { openContainerIo } from "./container-io.js";
import { containerFolders, specOf, stateWord } from "./container-names.js";
import type { ContainerParts } from "./container-parts.js";
import { nriSubject, tellStopped } from "./container-plugins.js";
import { type ContainerIo, CRI_NAMESPACE, type CriContainer, type Pod } from "./contract.js";

const tasked = failurePoint("cri.container.tasked");
const started = failurePoint("cri.container.started");

/** What a container that could not be started has for its end. */
const START_EXIT_CODE = 128;
const START_REASON = "StartError";
const SIGKILL = 9;

/** StartContainer: a container that fails here has ended, with the reason StartError. */
export async function startContainer(
  parts: ContainerParts,
  containerId: string,
  signal: AbortSignal,
): Promise<void> {
  const { store, lives } = parts;
  const container = store.containers.get(containerId);
  const { id } = container.record;
  if (container.state !== "created") {
    throw failedPrecondition(
      `failed to set starting state for container ${JSON.stringify(id)}: container is in ${stateWord(container.state)} state`,
      { subject: id, reason: "container-not-created" },
    );
  }
  using _phase = lives.enter(id, "starting");
  try {
    await start(parts, container, signal);
  } catch (thrown) {
    await store.containers.update(id, {
      state: "exited",
      pid: 0,
      finishedAt: parts.now(),
      exitCode: START_EXIT_CODE,
      reason: START_REASON,
      message: LazuliError.from(thrown).message,
    });
    throw thrown;
  }
}

async function start(parts: ContainerParts, container: CriContainer, signal: AbortSignal): Promise<void> {
  const { store, tasks, lives, nri } = parts;
  const { id, podId } = container.record;
  const name = { namespace: CRI_NAMESPACE, id };
  const pod = readyPod(parts, container);
  const spec = specOf(store.containers.rowOf(id));
  using _hold = nri?.holdSynchronization();
  const io = await openIo(parts, container);
  lives.of(id).io = io;
  let isMade = false;
  try {
    await createTask(parts, { container, pod, spec, io, signal });
    isMade = true;
    tasked.pass();
    if (nri?.isActive === true) {
      await nri.startContainer(nriSubject(parts, container, spec)).catch((thrown: unknown) => {
        throw within("NRI container start failed", thrown);
      });
    }
    // Before it runs: nothing ends before it has started.
    const startedAt = parts.now();
    const pid = await tasks.start({ ...name, execId: "" }, { signal }).catch((thrown: unknown) => {
      throw within(`failed to start containerd task ${JSON.stringify(id)}`, thrown);
    });
    started.pass();
    await store.containers.update(id, { state: "running", pid, startedAt });
    watchExit(parts, id);
  } catch (thrown) {
    if (isMade) {
      await discardTask(parts, id);
      await tellStopped(parts, store.containers.get(id));
    }
    lives.of(id).io = undefined;
    await io.close();
    throw thrown;
  }
  parts.criEvents.publish({ containerId: id, podId, type: ContainerEventType.CONTAINER_STARTED_EVENT });
  if (nri?.isActive === true) {
    await nri.postStartContainer(nriSubject(parts, store.containers.get(id), spec)).catch(logPlugin(id));
  }
}

/** @throws NOT_FOUND, FAILED_PRECONDITION */
function readyPod({ store }: ContainerParts, { record }: CriContainer): Pod {
  const pod = store.pods.find(record.podId);
  if (pod === undefined) {
    throw notFound(`sandbox ${JSON.stringify(record.podId)} not found`, {
      subject: record.podId,
      reason: "cri-missing",
    });
  }
  if (pod.state !== "ready") {
    throw failedPrecondition(`sandbox container ${JSON.stringify(record.podId)} is not running`, {
      subject: record.podId,
      reason: "pod-not-ready",
    });
  }
  const namespaces = record.config.linux?.securityContext?.namespaceOptions;
  if (namespaces?.pid === NamespaceMode.TARGET) {
    targetOf(store, { podId: record.podId, target: namespaces.targetId });
  }
  return pod;
}

/** The pipes of a container that starts, or of one that runs already (`paths`). */
export async function openIo(
  parts: ContainerParts,
  { record }: CriContainer,
  paths?: FifoPaths,
): Promise<ContainerIo> {
  const { id, config, logPath } = record;
  const { settings, now, tasks } = parts;
  return await openContainerIo({
    id,
    folder: containerFolders(parts.folders, id).state,
    paths,
    hasStdin: config.stdin,
    isTerminal: config.tty,
    isStdinOnce: config.stdinOnce,
    log: logPath === "" ? undefined : { path: logPath, lineBytesMax: settings.maxContainerLogLineBytes },
    closeStdin: () => tasks.closeIo({ namespace: CRI_NAMESPACE, id, execId: "", stdin: true }),
    now,
  });
}

async function createTask(
  parts: ContainerParts,
  request: {
    readonly container: CriContainer;
    readonly pod: Pod;
    readonly spec: RuntimeSpec;
    readonly io: ContainerIo;
    readonly signal: AbortSignal;
  },
): Promise<void> {
  const { store, tasks, snapshotters, handlers } = parts;
  const { container, pod, spec, io, signal } = request;
  const { record } = container;
  const row = store.containers.rowOf(record.id);
  const snapshotter = snapshotters.get(row.snapshotter);
  if (snapshotter === undefined) {
    throw notFound(`snapshotter ${row.snapshotter} is not loaded`, { reason: "snapshotter-missing" });
  }
  const rootfs = await snapshotter.for({ namespace: CRI_NAMESPACE }).mounts(row.snapshotKey, { signal });
  const handler = handlers.find(pod.record.runtimeHandler);
  try {
    await tasks.create(
      {
        namespace: CRI_NAMESPACE,
        id: record.id,
        runtime: row.runtime.name,
        runtimeOptions: row.runtime.options,
        taskOptions: pipeOwner(record.config, spec, row.runtime.options),
        spec: row.spec,
        rootfs,
        io: { ...io.paths, terminal: record.config.tty },
        checkpointFolder: "",
        sandboxId: pod.record.id,
        // A pause process is a task of ours, whose shim is known.
        sandboxAddress: handler.sandboxer === "podsandbox" ? "" : pod.address,
      },
      { signal },
    );
  } catch (thrown) {
    throw within("failed to create containerd task", thrown);
  }
}

/** In a user namespace the process can't open its own output unless it owns the pipe. */
function pipeOwner(
  config: CriContainer["record"]["config"],
  spec: RuntimeSpec,
  options: AnyValue | undefined,
): AnyValue | undefined {
  const userns = config.linux?.securityContext?.namespaceOptions?.usernsOptions;
  if (userns === undefined || userns.mode === NamespaceMode.NODE) return undefined;
  if (options !== undefined && options.typeUrl !== OptionsSchema.typeName) return undefined;
  const base: Options =
    options === undefined ? create(OptionsSchema) : fromBinary(OptionsSchema, options.value);
  const { uid, gid } = spec.process.user;
  const message = {
    ...base,
    ioUid: outsideId(uid, spec.linux.uidMappings ?? []),
    ioGid: outsideId(gid, spec.linux.gidMappings ?? []),
  };
  return { typeUrl: OptionsSchema.typeName, value: toBinary(OptionsSchema, message) };
}

/** @throws FAILED_PRECONDITION where the namespace has no such id */
function outsideId(id: number, maps: readonly IdMap[]): number {
  const range = maps.find(({ containerID, size }) => id >= containerID && id < containerID + size);
  if (range !== undefined) return range.hostID + id - range.containerID;
  throw failedPrecondition(
    `failed to do idmap to get host ID: container ID ${id} cannot be mapped to a host ID`,
    {
      subject: String(id),
      reason: "id-unmapped",
    },
  );
}

/** Kills a task of which nothing is wanted, and deletes it. Never throws. */
export async function discardTask({ tasks }: ContainerParts, id: string): Promise<void> {
  const name = { namespace: CRI_NAMESPACE, id };
  try {
    const held = tasks.list(CRI_NAMESPACE).some((task) => task.id === id);
    if (!held) return;
    // One that has not started, or has ended, is deleted all the same.
    await tasks.kill({ ...name, execId: "", signalNumber: SIGKILL, all: true }).catch(() => undefined);
    await tasks.wait({ ...name, execId: "" }).catch(() => undefined);
    await tasks.delete(name);
  } catch (thrown) {
    const { code, message } = LazuliError.from(thrown);
    if (code !== "NOT_FOUND") log.warn("Cannot delete a task", { container: id, error: message });
  }
}
