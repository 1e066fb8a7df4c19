import { statfs } from "node:fs/promises";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type ContainerMetrics,
  ContainerMetricsSchema,
  type MetricDescriptor,
  MetricDescriptorSchema,
  type MetricSchema,
  type PodSandboxMetrics,
  PodSandboxMetricsSchema,
} from "../../gen/runtime/v1/api_pb.js";
import { LazuliError } from "../errors/index.js";
import { log } from "../observe/index.js";
import type { TaskManager } from "../runtime/index.js";
import { CRI_NAMESPACE, type CriContainer, type Nanoseconds, type Pod } from "./contract.js";
import { baseLabels, type MetricKind, metricKinds } from "./metrics-descriptors.js";
import { countDescriptors, openFilesLimit } from "./metrics-processes.js";
import type { MeasuredContainer, StatsSource } from "./stats.js";
import { type CgroupFacts, type DeviceCounter, type Pressure, workingSet } from "./stats-cgroup.js";
import type { InterfaceFacts } from "./stats-network.js";
import type { SnapshotUsages } from "./stats-usage.js";

export interface MetricsSourceOptions {
  readonly stats: StatsSource;
  readonly pods: { list(): readonly Pod[] };
  readonly containers: { list(): readonly CriContainer[] };
  readonly tasks: Pick<TaskManager, "pids">;
  readonly usages: SnapshotUsages;
  readonly snapshotterOf: (runtimeHandler: string) => string;
  readonly now: () => Nanoseconds;
}

type MetricMessage = MessageInitShape<typeof MetricSchema>;
type Sample = readonly [kind: MetricKind, value: bigint, ...labels: string[]];

const SECOND_NS = 1_000_000_000n;

export function metricDescriptors(): readonly MetricDescriptor[] {
  return Object.values(metricKinds).map(({ name, help, labels }) =>
    create(MetricDescriptorSchema, { name, help, labelKeys: [...baseLabels, ...labels] }),
  );
}

/** cAdvisor's metrics of pods and containers, of which CRI takes whole numbers only. */
export class MetricsSource {
  readonly #options: MetricsSourceOptions;

  constructor(options: MetricsSourceOptions) {
    this.#options = options;
  }

  /** Of the pods that are ready, one after the other, since each means many files of /proc. */
  async *pods(
    options: { readonly signal?: AbortSignal | undefined } = {},
  ): AsyncGenerator<PodSandboxMetrics> {
    for (const pod of this.#options.pods.list()) {
      options.signal?.throwIfAborted();
      if (pod.state === "ready") yield await this.#pod(pod, options);
    }
  }

  async #pod(pod: Pod, options: { readonly signal?: AbortSignal | undefined }): Promise<PodSandboxMetrics> {
    const { stats, containers, now } = this.#options;
    const { id, config } = pod.record;
    const { name = "", namespace = "" } = config.metadata ?? {};
    const interfaces = await stats.interfaces(pod);
    const at = now();
    const containerMetrics: ContainerMetrics[] = [];
    for (const container of containers.list()) {
      if (container.record.podId !== id || container.state !== "running") continue;
      const measured = await stats.measure(container, options);
      const samples = await this.#containerSamples(pod, measured, options);
      const { record } = container;
      const image = record.config.image?.userSpecifiedImage || record.imageReference;
      const labels = [name, namespace, record.config.metadata?.name ?? "", record.id, image];
      const metrics = samples.map((sample) => message(sample, { labels, at }));
      containerMetrics.push(create(ContainerMetricsSchema, { containerId: record.id, metrics }));
    }
    return create(PodSandboxMetricsSchema, {
      podSandboxId: id,
      metrics: interfaces
        .flatMap(networkSamples)
        .map((sample) => message(sample, { labels: [name, namespace, "", id, ""], at })),
      containerMetrics,
    });
  }

  async #containerSamples(
    pod: Pod,
    { container, facts, at }: MeasuredContainer,
    options: { readonly signal?: AbortSignal | undefined },
  ): Promise<readonly Sample[]> {
    return [
      [metricKinds.lastSeen, at / SECOND_NS],
      [metricKinds.startTime, container.startedAt / SECOND_NS],
      ...(facts === undefined ? [] : cgroupSamples(facts)),
      ...(await this.#fileSystemSamples(pod, container)),
      ...(await this.#processSamples(container, facts, options)),
      ...specSamples(container),
    ];
  }

  async #fileSystemSamples(pod: Pod, container: CriContainer): Promise<readonly Sample[]> {
    const { usages, snapshotterOf } = this.#options;
    const name = snapshotterOf(pod.record.runtimeHandler);
    const snapshotter = usages.snapshotters.find((one) => one.name === name);
    if (snapshotter === undefined) return [];
    const usage: Sample = [
      metricKinds.fsUsage,
      BigInt(usages.of(name, container.record.id)?.bytes ?? 0),
      "/",
    ];
    try {
      const { blocks, bsize, files, ffree } = await statfs(snapshotter.folder, { bigint: true });
      return [
        usage,
        [metricKinds.fsLimit, blocks * bsize, "/"],
        [metricKinds.fsInodes, files, "/"],
        [metricKinds.fsInodesFree, ffree, "/"],
      ];
    } catch (thrown) {
      log.debug("Cannot tell how full a file system is", { error: LazuliError.from(thrown).message });
      return [usage];
    }
  }

  async #processSamples(
    { record, pid }: CriContainer,
    facts: CgroupFacts | undefined,
    { signal }: { readonly signal?: AbortSignal | undefined },
  ): Promise<readonly Sample[]> {
    let pids: readonly number[];
    try {
      const processes = await this.#options.tasks.pids(
        { namespace: CRI_NAMESPACE, id: record.id },
        { signal },
      );
      pids = processes.map((one) => one.pid);
    } catch (thrown) {
      signal?.throwIfAborted();
      log.debug("Cannot list the processes of a container", {
        id: record.id,
        error: LazuliError.from(thrown).message,
      });
      return [];
    }
    const { fileDescriptors, sockets } = await countDescriptors(pids);
    const openFiles = await openFilesLimit(pid);
    return [
      [metricKinds.processes, BigInt(pids.length)],
      [metricKinds.threads, facts?.pids?.current ?? BigInt(pids.length)],
      [metricKinds.threadsMax, facts?.pids?.limit ?? 0n],
      [metricKinds.fileDescriptors, BigInt(fileDescriptors)],
      [metricKinds.sockets, BigInt(sockets)],
      ...(openFiles === undefined ? [] : [[metricKinds.ulimits, openFiles, "max_open_files"] as const]),
    ];
  }
}

function message(
  [{ name, type }, value, ...own]: Sample,
  { labels, at }: { readonly labels: readonly string[]; readonly at: Nanoseconds },
): MetricMessage {
  return {
    name,
    timestamp: at,
    metricType: type,
    labelValues: [...labels, ...own],
    value: { value: value < 0n ? 0n : value },
  };
}

function networkSamples(facts: InterfaceFacts): readonly Sample[] {
  const { name } = facts;
  return [
    [metricKinds.received, facts.receivedBytes, name],
    [metricKinds.receivedPackets, facts.receivedPackets, name],
    [metricKinds.receivedDropped, facts.receivedDropped, name],
    [metricKinds.receivedErrors, facts.receivedErrors, name],
    [metricKinds.sent, facts.sentBytes, name],
    [metricKinds.sentPackets, facts.sentPackets, name],
    [metricKinds.sentDropped, facts.sentDropped, name],
    [metricKinds.sentErrors, facts.sentErrors, name],
  ];
}

function cgroupSamples({
  cpu,
  memory,
  devices,
  ioPressure,
  oomKills,
  hugePages,
}: CgroupFacts): readonly Sample[] {
  return [
    ...(cpu === undefined ? [] : cpuSamples(cpu)),
    ...(memory === undefined ? [] : memorySamples(memory)),
    ...devices.flatMap(deviceSamples),
    ...pressureSamples(ioPressure, metricKinds.ioWaiting, metricKinds.ioStalled),
    [metricKinds.oomEvents, oomKills],
    ...hugePages.flatMap(({ pageSize, usage, max }): readonly Sample[] => [
      [metricKinds.hugePages, usage, pageSize],
      [metricKinds.hugePagesMax, max, pageSize],
    ]),
  ];
}

function cpuSamples(cpu: NonNullable<CgroupFacts["cpu"]>): readonly Sample[] {
  return [
    [metricKinds.cpuUsage, cpu.usageNs / SECOND_NS],
    [metricKinds.cpuUser, cpu.userNs / SECOND_NS],
    [metricKinds.cpuSystem, cpu.systemNs / SECOND_NS],
    [metricKinds.cpuPeriods, cpu.periods],
    [metricKinds.cpuThrottledPeriods, cpu.throttledPeriods],
    [metricKinds.cpuThrottled, cpu.throttledNs / SECOND_NS],
    ...pressureSamples(cpu.pressure, metricKinds.cpuWaiting, metricKinds.cpuStalled),
  ];
}

function memorySamples(memory: NonNullable<CgroupFacts["memory"]>): readonly Sample[] {
  return [
    [metricKinds.memoryUsage, memory.usage],
    [metricKinds.memoryMaxUsage, memory.maxUsage],
    [metricKinds.memoryWorkingSet, workingSet(memory)],
    [metricKinds.memoryRss, memory.rss],
    [metricKinds.memoryCache, memory.cache],
    [metricKinds.memoryMapped, memory.mappedFile],
    [metricKinds.memoryActiveFile, memory.activeFile],
    [metricKinds.memoryInactiveFile, memory.inactiveFile],
    [metricKinds.memoryKernel, memory.kernel],
    // A kernel that does not count swap has 0, as in cAdvisor.
    [metricKinds.memorySwap, memory.swap?.usage ?? 0n],
    [metricKinds.memoryLimitHits, memory.limitHits],
    [metricKinds.memoryFailures, memory.pageFaults, "pgfault", "container"],
    [metricKinds.memoryFailures, memory.majorPageFaults, "pgmajfault", "container"],
    ...pressureSamples(memory.pressure, metricKinds.memoryWaiting, metricKinds.memoryStalled),
  ];
}

function pressureSamples(
  pressure: Pressure | undefined,
  waiting: MetricKind,
  stalled: MetricKind,
): readonly Sample[] {
  const some = pressure?.some?.total;
  const full = pressure?.full?.total;
  return [
    ...(some === undefined ? [] : [[waiting, some / SECOND_NS] as const]),
    ...(full === undefined ? [] : [[stalled, full / SECOND_NS] as const]),
  ];
}

const deviceKinds = {
  "read-bytes": metricKinds.fsReadBytes,
  "write-bytes": metricKinds.fsWrittenBytes,
  reads: metricKinds.fsReads,
  writes: metricKinds.fsWrites,
} as const;

function deviceSamples({ kind, device, major, minor, value }: DeviceCounter): readonly Sample[] {
  const own: Sample = [deviceKinds[kind], value, device];
  if (kind !== "read-bytes" && kind !== "write-bytes") return [own];
  const operation = kind === "read-bytes" ? "Read" : "Write";
  return [own, [metricKinds.blockDevice, value, device, String(major), String(minor), operation]];
}

function specSamples({ record }: CriContainer): readonly Sample[] {
  const resources = record.config.linux?.resources;
  return [
    [metricKinds.cpuPeriod, resources?.cpuPeriod ?? 0n],
    [metricKinds.cpuQuota, resources?.cpuQuota ?? 0n],
    [metricKinds.cpuShares, resources?.cpuShares ?? 0n],
    [metricKinds.memoryLimit, resources?.memoryLimitInBytes ?? 0n],
    [metricKinds.memoryReservation, 0n],
    [metricKinds.memorySwapLimit, resources?.memorySwapLimitInBytes ?? 0n],
  ];
}
