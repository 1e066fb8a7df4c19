import { fromBinary } from "@bufbuild/protobuf";
import { TaskOOMSchema } from "../../gen/containerd/events/task_pb.js";
import { MetricsSchema as MetricsV1 } from "../../gen/io/containerd/cgroups/v1/metrics_pb.js";
import { MetricsSchema as MetricsV2 } from "../../gen/io/containerd/cgroups/v2/metrics_pb.js";
import { ContainerEventType } from "../../gen/runtime/v1/api_pb.js";
import { delay } from "../async/index.js";
import { LazuliError } from "../errors/index.js";
import { failurePoint, log } from "../observe/index.js";
import type { ProcessExit } from "../runtime/index.js";
import type { ContainerParts } from "./container-parts.js";
import { tellStopped } from "./container-plugins.js";
import { CRI_NAMESPACE, type CriContainer } from "./contract.js";

const noticed = failurePoint("cri.container.exit-noticed");

/** Nobody knows how it ended. */
const UNKNOWN_EXIT_CODE = 255;
/** 128 and SIGKILL. */
const KILLED_EXIT_CODE = 137;
const OOM_REASON = "OOMKilled";
/** Longest wait for output that somebody else than the container's processes may hold. */
const DRAIN_MS = 10_000;
/** Waits between attempts to delete a task that its shim keeps: a second, doubled up to five minutes. */
const RETRY_MS = 1000;
const RETRY_MS_MAX = 5 * 60_000;

/** Reports the end of a running container once, whenever it comes. */
export function watchExit(parts: ContainerParts, id: string): void {
  const life = parts.lives.of(id);
  if (life.isWatched) return;
  life.isWatched = true;
  void (async () => {
    try {
      const exit = await parts.tasks.wait({ namespace: CRI_NAMESPACE, id, execId: "" });
      await noteExit(parts, id, exit);
    } catch (thrown) {
      life.isWatched = false;
      const { code, message } = LazuliError.from(thrown);
      // The daemon stops: the next one asks the shim again.
      if (code === "CANCELED") return;
      if (code === "NOT_FOUND") await noteExit(parts, id, unknownExit(parts));
      else log.warn("Cannot wait for the end of a container", { container: id, error: message });
    }
  })().catch((thrown: unknown) => {
    log.error("Cannot store the end of a container", {
      container: id,
      error: LazuliError.from(thrown).message,
    });
  });
}

/** The end of a process of which nothing is left to ask. */
export function unknownExit({ now }: ContainerParts): ProcessExit {
  return { pid: 0, exitStatus: UNKNOWN_EXIT_CODE, exitedAt: now() };
}

/** Takes the task away, waits for the end of the log, then stores and tells the end. A second call does nothing. */
export async function noteExit(
  parts: ContainerParts,
  id: string,
  { exitStatus, exitedAt }: ProcessExit,
  reason = "",
): Promise<void> {
  const { store, lives, criEvents } = parts;
  const container = store.containers.find(id);
  if (container === undefined || container.record.id !== id || container.state === "exited") return;
  const life = lives.of(id);
  const isOom = exitStatus === KILLED_EXIT_CODE && (await ranOutOfMemory(parts, id));
  await deleteTask(parts, id);
  await life.io?.drained({ signal: AbortSignal.timeout(DRAIN_MS) }).catch(() => {
    log.warn("Somebody holds the output of a container that has ended", { container: id });
  });
  await life.io?.close();
  life.io = undefined;
  noticed.pass();
  const now = store.containers.find(id);
  if (now === undefined || now.state === "exited") return;
  let ended: CriContainer;
  try {
    ended = await store.containers.update(id, {
      state: "exited",
      pid: 0,
      finishedAt: exitedAt ?? parts.now(),
      exitCode: exitStatus,
      reason: isOom ? OOM_REASON : now.reason || reason || (exitStatus === 0 ? "Completed" : "Error"),
    });
  } finally {
    // Also where the disk is full: it has ended.
    life.ended.resolve();
  }
  await tellStopped(parts, ended);
  criEvents.publish({
    containerId: id,
    podId: ended.record.podId,
    type: ContainerEventType.CONTAINER_STOPPED_EVENT,
  });
}

/** The shim's own event of it may come later than the end. */
async function ranOutOfMemory({ tasks }: ContainerParts, id: string): Promise<boolean> {
  try {
    const { data } = await tasks.metrics({ namespace: CRI_NAMESPACE, id });
    const type = data.typeUrl.slice(data.typeUrl.lastIndexOf("/") + 1);
    if (type === MetricsV1.typeName) {
      return (fromBinary(MetricsV1, data.value).memoryOomControl?.oomKill ?? 0n) > 0n;
    }
    if (type === MetricsV2.typeName)
      return (fromBinary(MetricsV2, data.value).memoryEvents?.oomKill ?? 0n) > 0n;
    return false;
  } catch (thrown) {
    // Its cgroup may have gone with it; then the event alone tells.
    log.debug("Cannot read the last metrics of a container", {
      container: id,
      error: LazuliError.from(thrown).message,
    });
    return false;
  }
}

/** A shim that fails is asked again later; the container has ended all the same. */
async function deleteTask({ tasks }: ContainerParts, id: string): Promise<void> {
  const attempt = async (): Promise<boolean> => {
    try {
      await tasks.delete({ namespace: CRI_NAMESPACE, id });
      return true;
    } catch (thrown) {
      const { code, message } = LazuliError.from(thrown);
      if (code === "NOT_FOUND" || code === "CANCELED") return true;
      log.warn("Cannot delete the task of a container that has ended", { container: id, error: message });
      return false;
    }
  };
  if (await attempt()) return;
  void (async () => {
    for (let waitMs = RETRY_MS; waitMs <= RETRY_MS_MAX; waitMs *= 2) {
      await delay(waitMs);
      if (await attempt()) return;
    }
  })();
}

/** Follows the shims' events of containers that ran out of memory, until the signal ends it. */
export async function followOom(parts: ContainerParts, signal: AbortSignal): Promise<void> {
  const { events, store } = parts;
  for await (const { namespace, event } of events.subscribe(['topic=="/tasks/oom"'], { signal })) {
    if (namespace !== CRI_NAMESPACE || event === undefined) continue;
    const { containerId: id } = fromBinary(TaskOOMSchema, event.value);
    const container = store.containers.find(id);
    if (container === undefined || container.record.id !== id) continue;
    await store.containers.update(id, { reason: OOM_REASON }).catch((thrown: unknown) => {
      log.warn("Cannot store that a container ran out of memory", {
        container: id,
        error: LazuliError.from(thrown).message,
      });
    });
  }
}
