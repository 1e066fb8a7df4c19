import { LazuliError } from "../errors/index.js";
import { log } from "../observe/index.js";
import type { ProcessState } from "../runtime/index.js";
import { noteExit, unknownExit, watchExit } from "./container-exit.js";
import type { ContainerParts } from "./container-parts.js";
import { discardTask, openIo } from "./container-start.js";
import { CRI_NAMESPACE, type CriContainer } from "./contract.js";
import type { StoredContainer } from "./store.js";

/** Shows a container after a restart, as its shim says it is now. An end that came meanwhile is told once. */
export async function recoverContainer(
  parts: ContainerParts,
  { record, status }: StoredContainer,
  options: { readonly signal?: AbortSignal | undefined } = {},
): Promise<void> {
  const { store, lives } = parts;
  const { id } = record;
  const container: CriContainer = { ...status, record };
  store.containers.put(container);
  if (status.state === "exited") {
    lives.of(id).ended.resolve();
    await discardTask(parts, id);
    return;
  }
  try {
    const state = await taskState(parts, id, options);
    if (state === undefined) {
      // Only a container that ran can have ended.
      if (status.state !== "created") await noteExit(parts, id, unknownExit(parts), "Unknown");
    } else {
      await adopt(parts, container, state);
    }
  } catch (thrown) {
    log.error("Could not find out how a container is", {
      container: id,
      error: LazuliError.from(thrown).message,
    });
    await store.containers.update(id, { state: "unknown" });
  }
}

async function taskState(
  { tasks }: ContainerParts,
  id: string,
  options: { readonly signal?: AbortSignal | undefined },
): Promise<ProcessState | undefined> {
  try {
    return await tasks.state({ namespace: CRI_NAMESPACE, id, execId: "" }, options);
  } catch (thrown) {
    if (LazuliError.from(thrown).code === "NOT_FOUND") return undefined;
    throw thrown;
  }
}

async function adopt(parts: ContainerParts, container: CriContainer, state: ProcessState): Promise<void> {
  const { store, lives, now } = parts;
  const { id } = container.record;
  if (state.status === "created") {
    // We died between its creation and its start: it is as if nobody had asked for the start.
    await discardTask(parts, id);
    return;
  }
  const { stdin, stdout, stderr } = state.io;
  lives.of(id).io = await openIo(parts, container, { stdin, stdout, stderr }).catch((thrown: unknown) => {
    log.warn("The output of a container is lost", { container: id, error: LazuliError.from(thrown).message });
    return undefined;
  });
  if (container.state !== "running") {
    await store.containers.update(id, {
      state: "running",
      pid: state.pid,
      startedAt: container.startedAt === 0n ? now() : container.startedAt,
    });
  }
  if (state.status === "stopped") {
    await noteExit(parts, id, { pid: state.pid, exitStatus: state.exitStatus, exitedAt: state.exitedAt });
  } else {
    watchExit(parts, id);
  }
}
