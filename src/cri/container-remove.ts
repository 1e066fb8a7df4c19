import { rm } from "node:fs/promises";
import { ContainerEventType } from "../../gen/runtime/v1/api_pb.js";
import { LazuliError } from "../errors/index.js";
import { failurePoint } from "../observe/index.js";
import { logPlugin, within } from "./container-create.js";
import { containerFolders } from "./container-names.js";
import type { ContainerParts } from "./container-parts.js";
import { nriSubject } from "./container-plugins.js";
import { discardTask } from "./container-start.js";
import { stopContainer } from "./container-stop.js";
import { CRI_NAMESPACE, type CriContainer } from "./contract.js";

const emptied = failurePoint("cri.container.emptied");

/** RemoveContainer, also of one that runs. Its record goes last, so that what a crash leaves is removed by the next call. */
export async function removeContainer(
  parts: ContainerParts,
  container: CriContainer,
  signal?: AbortSignal,
): Promise<void> {
  const { store, lives, nri, snapshotters, criEvents } = parts;
  const { id, podId } = container.record;
  using _hold = nri?.holdSynchronization();
  await stopContainer(parts, container, { timeoutSeconds: 0n, signal }).catch((thrown: unknown) => {
    throw within(`failed to forcibly stop container ${JSON.stringify(id)}`, thrown);
  });
  using _phase = lives.enter(id, "removing");
  const ended = store.containers.find(id);
  if (ended === undefined) return;
  if (nri?.isActive === true) await nri.removeContainer(nriSubject(parts, ended)).catch(logPlugin(id));
  await discardTask(parts, id);
  const { snapshotter, snapshotKey } = store.containers.rowOf(id);
  await snapshotters
    .get(snapshotter)
    ?.for({ namespace: CRI_NAMESPACE })
    .remove(snapshotKey)
    .catch((thrown: unknown) => {
      if (LazuliError.from(thrown).code !== "NOT_FOUND") throw thrown;
    });
  await lives.of(id).io?.close();
  const folders = containerFolders(parts.folders, id);
  for (const folder of [folders.root, folders.state]) await rm(folder, { recursive: true, force: true });
  emptied.pass();
  await store.containers.remove(id);
  lives.forget(id);
  criEvents.publish({ containerId: id, podId, type: ContainerEventType.CONTAINER_DELETED_EVENT });
}
