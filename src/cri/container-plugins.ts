import { isDeepStrictEqual } from "node:util";
import type { RuntimeResources } from "../cdi/index.js";
import { LazuliError } from "../errors/index.js";
import type { NriContainer, NriContainerState, NriSideEffects, NriSubject } from "../nri/index.js";
import { log } from "../observe/index.js";
import type { LinuxResources, RuntimeSpec } from "../spec/index.js";
import { specAny, specOf } from "./container-names.js";
import type { ContainerParts } from "./container-parts.js";
import { type ContainerState, CRI_NAMESPACE, type CriContainer } from "./contract.js";

const nriStates = {
  created: "created",
  running: "running",
  exited: "stopped",
  unknown: "unknown",
} as const satisfies Record<ContainerState, NriContainerState>;

/** What NRI plugins are told of a container. */
export function nriContainer(container: CriContainer, spec: RuntimeSpec): NriContainer {
  const { record, pid, startedAt, finishedAt, exitCode, reason, message } = container;
  const { config } = record;
  return {
    id: record.id,
    podId: record.podId,
    name: config.metadata?.name ?? "",
    state: nriStates[container.state],
    labels: config.labels,
    annotations: config.annotations,
    pid,
    createdAtNs: record.createdAt,
    startedAtNs: startedAt,
    finishedAtNs: finishedAt,
    exitCode,
    statusReason: reason,
    statusMessage: message,
    cdiDevices: config.CDIDevices.map(({ name }) => name),
    image: { name: record.imageReference, configDigest: record.imageId },
    spec,
  };
}

/** Whom a call of a plugin is about; without its pod where that is gone. */
export function nriSubject(
  { store, nriPod }: ContainerParts,
  container: CriContainer,
  spec: RuntimeSpec = specOf(store.containers.rowOf(container.record.id)),
): NriSubject {
  const pod = store.pods.find(container.record.podId);
  return {
    pod: pod === undefined ? undefined : nriPod(pod),
    container: nriContainer(container, spec),
  };
}

/** Tells plugins that a container has ended. Never throws: nobody can keep it from ending. */
export async function tellStopped(parts: ContainerParts, container: CriContainer): Promise<void> {
  const { nri } = parts;
  if (nri === undefined || !nri.isActive) return;
  try {
    const updates = await nri.stopContainer(nriSubject(parts, container));
    await carryOut(parts, { updates, evictions: [] });
  } catch (thrown) {
    log.warn("NRI failed to stop container", {
      container: container.record.id,
      error: LazuliError.from(thrown).message,
    });
  }
}

/** Does what plugins want of other containers. What fails is told in the log, unless it may. */
export async function carryOut(parts: ContainerParts, wanted: NriSideEffects): Promise<void> {
  const attempt = async (id: string, work: () => Promise<void>): Promise<void> => {
    await work().catch((thrown: unknown) => {
      log.warn("What an NRI plugin wants of a container could not be done", {
        container: id,
        error: LazuliError.from(thrown).message,
      });
    });
  };
  for (const { containerId, resources } of wanted.updates) {
    await attempt(containerId, async () => await applyResources(parts, { containerId, resources }));
  }
  for (const { containerId, reason } of wanted.evictions) {
    log.info("An NRI plugin evicts a container", { container: containerId, reason });
    await attempt(containerId, async () => {
      const name = { namespace: CRI_NAMESPACE, id: parts.store.containers.get(containerId).record.id };
      await parts.tasks.kill({ ...name, execId: "", signalNumber: SIGKILL, all: true });
    });
  }
}

const SIGKILL = 9;

/** Gives a container these limits: its task, if it runs, and its spec. */
export async function applyResources(
  { store, tasks }: ContainerParts,
  {
    containerId,
    resources,
    annotations = {},
    signal,
  }: {
    readonly containerId: string;
    readonly resources: RuntimeResources | LinuxResources;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly signal?: AbortSignal | undefined;
  },
): Promise<void> {
  const container = store.containers.get(containerId);
  const { record } = container;
  const before = store.containers.rowOf(record.id).spec;
  const spec = specOf({ id: record.id, spec: before });
  const merged = { ...spec.linux.resources, ...(resources as LinuxResources) };
  if (!isDeepStrictEqual(merged, spec.linux.resources)) {
    await store.containers.save(
      record,
      specAny("Spec", { ...spec, linux: { ...spec.linux, resources: merged } }),
    );
  }
  if (container.state !== "running") return;
  try {
    await tasks.update(
      {
        namespace: CRI_NAMESPACE,
        id: record.id,
        resources: specAny("LinuxResources", resources),
        annotations,
      },
      { signal },
    );
  } catch (thrown) {
    // It has ended meanwhile.
    if (LazuliError.from(thrown).code === "NOT_FOUND") return;
    await store.containers.save(record, before);
    throw thrown;
  }
}
