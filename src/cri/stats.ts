import { create } from "@bufbuild/protobuf";
import pLimit from "p-limit";
import {
  type ContainerAttributes,
  ContainerAttributesSchema,
  type ContainerStats,
  type ContainerStatsFilter,
  ContainerStatsSchema,
  type PodSandboxAttributes,
  PodSandboxAttributesSchema,
  type PodSandboxStats,
  type PodSandboxStatsFilter,
  PodSandboxStatsSchema,
} from "../../gen/runtime/v1/api_pb.js";
import { LazuliError, notFound, unavailable } from "../errors/index.js";
import { log } from "../observe/index.js";
import type { TaskManager } from "../runtime/index.js";
import { CRI_NAMESPACE, type CriContainer, type Nanoseconds, type Pod } from "./contract.js";
import { filesystemUsage } from "./fs-info.js";
import { type CgroupFacts, cgroupFacts } from "./stats-cgroup.js";
import { podCgroupFacts } from "./stats-cgroup-folder.js";
import { CpuRates } from "./stats-cpu-rate.js";
import { networkMessage, usageMessages } from "./stats-messages.js";
import { type InterfaceFacts, interfacesOf } from "./stats-network.js";
import { summedFacts } from "./stats-sum.js";
import type { SnapshotUsages } from "./stats-usage.js";

/** Pods or containers as their keeper has them. */
export interface Lookup<Thing> {
  /** By id, or by the beginning of one that is no other's. */
  find(id: string): Thing | undefined;
  list(): readonly Thing[];
}

export interface StatsSourceOptions {
  readonly pods: Lookup<Pod>;
  readonly containers: Lookup<CriContainer>;
  readonly tasks: Pick<TaskManager, "metrics" | "pids">;
  readonly usages: SnapshotUsages;
  /** Name of the snapshotter for a runtime handler. */
  readonly snapshotterOf: (runtimeHandler: string) => string;
  /** Where cgroups are mounted: /sys/fs/cgroup. */
  readonly cgroupRoot: string;
  readonly now: () => Nanoseconds;
}

interface Waiting {
  readonly signal?: AbortSignal | undefined;
}

/** A container with what its cgroup says; undefined when it does not run. */
export interface MeasuredContainer {
  readonly container: CriContainer;
  readonly facts: CgroupFacts | undefined;
  readonly at: Nanoseconds;
}

/** Shims that are asked at once. */
const ASKED_MAX = 8;

/** Statistics of containers and pods in CRI's messages. A container that ends meanwhile is told without its usage. */
export class StatsSource {
  readonly #options: StatsSourceOptions;
  readonly #rates = new CpuRates();
  readonly #limit = pLimit(ASKED_MAX);

  constructor(options: StatsSourceOptions) {
    this.#options = options;
  }

  /** @throws NOT_FOUND */
  async container(id: string, options: Waiting = {}): Promise<ContainerStats> {
    const container = id === "" ? undefined : this.#options.containers.find(id);
    if (container === undefined) {
      throw notFound(`an error occurred when try to find container ${JSON.stringify(id)}`, {
        subject: id,
        reason: "container-missing",
      });
    }
    return this.#message(await this.measure(container, options));
  }

  async containers(
    filter: Pick<ContainerStatsFilter, "id" | "podSandboxId" | "labelSelector"> | undefined,
    options: Waiting = {},
  ): Promise<readonly ContainerStats[]> {
    const { containers, pods } = this.#options;
    const { id = "", podSandboxId = "", labelSelector = {} } = filter ?? {};
    const wantedId = id === "" ? undefined : (containers.find(id)?.record.id ?? id);
    const wantedPod = podSandboxId === "" ? undefined : (pods.find(podSandboxId)?.record.id ?? podSandboxId);
    const chosen = containers
      .list()
      .filter(({ record }) => wantedId === undefined || record.id === wantedId)
      .filter(({ record }) => wantedPod === undefined || record.podId === wantedPod)
      .filter(({ record }) => hasLabels(record.config.labels, labelSelector));
    const measured = await Promise.all(chosen.map((one) => this.measure(one, options)));
    return measured.map((one) => this.#message(one));
  }

  /** @throws NOT_FOUND; UNAVAILABLE for a pod that is not ready */
  async pod(id: string, options: Waiting = {}): Promise<PodSandboxStats> {
    const pod = id === "" ? undefined : this.#options.pods.find(id);
    if (pod === undefined) {
      throw notFound(`an error occurred when trying to find sandbox ${JSON.stringify(id)}`, {
        subject: id,
        reason: "pod-missing",
      });
    }
    if (pod.state !== "ready") {
      throw unavailable(`Cannot tell statistics of pod ${pod.record.id}: want it ready, got ${pod.state}`, {
        subject: pod.record.id,
        reason: "pod-not-ready",
      });
    }
    return await this.#podMessage(pod, options);
  }

  /** Of the pods that are ready. */
  async pods(
    filter: Pick<PodSandboxStatsFilter, "id" | "labelSelector"> | undefined,
    options: Waiting = {},
  ): Promise<readonly PodSandboxStats[]> {
    const { pods } = this.#options;
    const { id = "", labelSelector = {} } = filter ?? {};
    const wanted = id === "" ? undefined : (pods.find(id)?.record.id ?? id);
    const chosen = pods
      .list()
      .filter(({ state }) => state === "ready")
      .filter(({ record }) => wanted === undefined || record.id === wanted)
      .filter(({ record }) => hasLabels(record.config.labels, labelSelector));
    return await Promise.all(chosen.map((pod) => this.#podMessage(pod, options)));
  }

  /** Takes a sample of every running container and pod, so that the first question has a rate of CPU to be told. */
  async sample({ signal }: { readonly signal: AbortSignal }): Promise<void> {
    const { containers, pods } = this.#options;
    this.#rates.keep(new Set([...containers.list(), ...pods.list()].map(({ record }) => record.id)));
    for (const pod of pods.list()) {
      signal.throwIfAborted();
      if (pod.state === "ready") await this.#podMessage(pod, { signal });
    }
  }

  /** Asks the shim of a container that runs. */
  async measure(container: CriContainer, options: Waiting): Promise<MeasuredContainer> {
    const { now } = this.#options;
    if (container.state !== "running") return { container, facts: undefined, at: now() };
    const asked = await this.#limit(() => this.#ask(container.record.id, options));
    return { container, facts: asked?.facts, at: asked?.at ?? now() };
  }

  /** What is in the pod's own network namespace; none for one on the host's. */
  async interfaces({ record, pid }: Pod): Promise<readonly InterfaceFacts[]> {
    return record.netns === undefined ? [] : await interfacesOf(pid);
  }

  /** Undefined for a task that is gone or does not answer. */
  async #ask(id: string, { signal }: Waiting): Promise<{ facts: CgroupFacts; at: Nanoseconds } | undefined> {
    try {
      const { data, timestamp } = await this.#options.tasks.metrics(
        { namespace: CRI_NAMESPACE, id },
        { signal },
      );
      return { facts: cgroupFacts(data), at: timestamp };
    } catch (thrown) {
      signal?.throwIfAborted();
      log.debug("Cannot tell the usage of a task", { id, error: LazuliError.from(thrown).message });
      return undefined;
    }
  }

  #message({ container, facts, at }: MeasuredContainer): ContainerStats {
    const { record } = container;
    const { id } = record;
    const rate =
      facts?.cpu === undefined ? undefined : this.#rates.note(id, { usageNs: facts.cpu.usageNs, at });
    return create(ContainerStatsSchema, {
      attributes: containerAttributes(record),
      ...(facts === undefined ? {} : usageMessages(facts, { timestamp: at, rate })),
      ...this.#writableLayer(container),
    });
  }

  #writableLayer({ record }: CriContainer): { writableLayer?: ReturnType<typeof filesystemUsage> } {
    const { usages, pods, snapshotterOf, now } = this.#options;
    const name = snapshotterOf(pods.find(record.podId)?.record.runtimeHandler ?? "");
    const snapshotter = usages.snapshotters.find((one) => one.name === name);
    if (snapshotter === undefined) return {};
    const usage = usages.of(name, record.id) ?? { bytes: 0, inodes: 0, at: now() };
    return { writableLayer: filesystemUsage(snapshotter, usage) };
  }

  async #podMessage(pod: Pod, options: Waiting): Promise<PodSandboxStats> {
    const { containers, cgroupRoot, now } = this.#options;
    const { id, config } = pod.record;
    const own = containers.list().filter(({ record }) => record.podId === id);
    const [measured, interfaces] = await Promise.all([
      Promise.all(own.map((one) => this.measure(one, options))),
      this.interfaces(pod),
    ]);
    const parent = config.linux?.cgroupParent ?? "";
    const facts =
      (await podCgroupFacts({ root: cgroupRoot, parent })) ?? (await this.#summed(pod, measured, options));
    const timestamp = now();
    const rate =
      facts.cpu === undefined
        ? undefined
        : this.#rates.note(id, { usageNs: facts.cpu.usageNs, at: timestamp });
    const processCount = measured.reduce((sum, one) => sum + (one.facts?.pids?.current ?? 0n), 0n);
    const { cpu, memory, io } = usageMessages(facts, { timestamp, rate });
    return create(PodSandboxStatsSchema, {
      attributes: podAttributes(pod),
      linux: {
        ...(cpu === undefined ? {} : { cpu }),
        ...(memory === undefined ? {} : { memory }),
        ...(io === undefined ? {} : { io }),
        ...(pod.record.netns === undefined ? {} : { network: networkMessage(interfaces, timestamp) }),
        process: { timestamp, processCount: { value: processCount } },
        containers: measured.map((one) => this.#message(one)),
      },
    });
  }

  /** Of a pod without a cgroup of its own. */
  async #summed(pod: Pod, measured: readonly MeasuredContainer[], options: Waiting): Promise<CgroupFacts> {
    const pause = await this.#limit(() => this.#ask(pod.record.id, options));
    const facts = measured.flatMap((one) => (one.facts === undefined ? [] : [one.facts]));
    return summedFacts(pause === undefined ? facts : [...facts, pause.facts]);
  }
}

function hasLabels(
  labels: Readonly<Record<string, string>>,
  selector: Readonly<Record<string, string>>,
): boolean {
  return Object.entries(selector).every(
    ([key, value]) => Object.hasOwn(labels, key) && labels[key] === value,
  );
}

function containerAttributes({ id, config }: CriContainer["record"]): ContainerAttributes {
  const { metadata, labels, annotations } = config;
  const attributes = create(ContainerAttributesSchema, { id, labels, annotations });
  if (metadata !== undefined) attributes.metadata = metadata;
  return attributes;
}

function podAttributes({ record }: Pod): PodSandboxAttributes {
  const { metadata, labels, annotations } = record.config;
  const attributes = create(PodSandboxAttributesSchema, { id: record.id, labels, annotations });
  if (metadata !== undefined) attributes.metadata = metadata;
  return attributes;
}
