import { fromBinary } from "@bufbuild/protobuf";
import {
  type BlkIOEntry,
  type MemoryEntry,
  type Metrics as MetricsV1,
  MetricsSchema as MetricsV1Schema,
} from "../../gen/io/containerd/cgroups/v1/metrics_pb.js";
import {
  type Metrics as MetricsV2,
  MetricsSchema as MetricsV2Schema,
  type PSIData,
  type PSIStats,
} from "../../gen/io/containerd/cgroups/v2/metrics_pb.js";
import { invalidArgument } from "../errors/index.js";
import type { AnyValue } from "../metadata/index.js";

export interface PressureData {
  /** Nanoseconds. */
  readonly total: bigint;
  /** Per cent of the last so many seconds. */
  readonly avg10: number;
  readonly avg60: number;
  readonly avg300: number;
}

/** Stalls of some and of all tasks. */
export interface Pressure {
  readonly some: PressureData | undefined;
  readonly full: PressureData | undefined;
}

export interface CpuFacts {
  readonly usageNs: bigint;
  readonly userNs: bigint;
  readonly systemNs: bigint;
  readonly periods: bigint;
  readonly throttledPeriods: bigint;
  readonly throttledNs: bigint;
  readonly pressure: Pressure | undefined;
}

/** Bytes, unless said otherwise; of the cgroup and those below it. */
export interface MemoryFacts {
  readonly usage: bigint;
  readonly maxUsage: bigint;
  /** Undefined: no limit. */
  readonly limit: bigint | undefined;
  readonly rss: bigint;
  readonly cache: bigint;
  readonly mappedFile: bigint;
  readonly activeFile: bigint;
  readonly inactiveFile: bigint;
  readonly kernel: bigint;
  /** Undefined where the kernel does not count it. */
  readonly swap: { readonly usage: bigint; readonly limit: bigint | undefined } | undefined;
  /** Counts. */
  readonly pageFaults: bigint;
  readonly majorPageFaults: bigint;
  readonly limitHits: bigint;
  readonly pressure: Pressure | undefined;
}

/** One counter of one block device. */
export interface DeviceCounter {
  readonly kind: "read-bytes" | "write-bytes" | "reads" | "writes";
  /** `/dev/sda`, or `8:0` where nobody tells its name. */
  readonly device: string;
  readonly major: bigint;
  readonly minor: bigint;
  readonly value: bigint;
}

export interface HugePageFacts {
  /** `2MB`. */
  readonly pageSize: string;
  readonly usage: bigint;
  /** Highest usage so far with cgroup v1, the limit with v2. */
  readonly max: bigint;
}

/** What a cgroup of either version says; undefined: a controller that is not there. */
export interface CgroupFacts {
  readonly cpu: CpuFacts | undefined;
  readonly memory: MemoryFacts | undefined;
  /** Tasks, which are threads. */
  readonly pids: { readonly current: bigint; readonly limit: bigint } | undefined;
  readonly devices: readonly DeviceCounter[];
  readonly ioPressure: Pressure | undefined;
  readonly oomKills: bigint;
  readonly hugePages: readonly HugePageFacts[];
}

/** Above it the kernel means none, rounded to its pages. */
const LIMIT_MAX = 1n << 62n;
const MICROSECOND_NS = 1000n;

/** What a shim answers to Metrics. @throws INVALID_ARGUMENT `metrics-unknown` for what is of no cgroup */
export function cgroupFacts({ typeUrl, value }: AnyValue): CgroupFacts {
  const type = typeUrl.slice(typeUrl.lastIndexOf("/") + 1);
  if (type === MetricsV1Schema.typeName) return factsOfV1(fromBinary(MetricsV1Schema, value));
  if (type === MetricsV2Schema.typeName) return factsOfV2(fromBinary(MetricsV2Schema, value));
  throw invalidArgument(`Cannot read metrics: want those of a cgroup, got ${type.slice(0, 100)}`, {
    reason: "metrics-unknown",
  });
}

/** What is in use and can't be dropped at once. */
export function workingSet({ usage, inactiveFile }: MemoryFacts): bigint {
  return inactiveFile < usage ? usage - inactiveFile : 0n;
}

export function limitOf(bytes: bigint): bigint | undefined {
  return bytes > LIMIT_MAX || bytes === 0n ? undefined : bytes;
}

function factsOfV1(metrics: MetricsV1): CgroupFacts {
  const { cpu, pids, blkio, hugetlb, memoryOomControl } = metrics;
  const { total = 0n, user = 0n, kernel = 0n } = cpu?.usage ?? {};
  const { periods = 0n, throttledPeriods = 0n, throttledTime = 0n } = cpu?.throttling ?? {};
  return {
    cpu:
      cpu?.usage === undefined
        ? undefined
        : {
            usageNs: total,
            userNs: user,
            systemNs: kernel,
            periods,
            throttledPeriods,
            throttledNs: throttledTime,
            pressure: undefined,
          },
    memory: memoryOfV1(metrics),
    pids: pids === undefined ? undefined : { current: pids.current, limit: pids.limit },
    devices: [
      ...countersOf(blkio?.ioServiceBytesRecursive ?? [], { Read: "read-bytes", Write: "write-bytes" }),
      ...countersOf(blkio?.ioServicedRecursive ?? [], { Read: "reads", Write: "writes" }),
    ],
    ioPressure: undefined,
    oomKills: memoryOomControl?.oomKill ?? 0n,
    hugePages: hugetlb.map(({ pagesize, usage, max }) => ({ pageSize: pagesize, usage, max })),
  };
}

function memoryOfV1({ memory }: MetricsV1): MemoryFacts | undefined {
  if (memory?.usage === undefined) return undefined;
  const { usage, swap } = memory;
  return {
    usage: usage.usage,
    maxUsage: usage.max,
    limit: limitOf(usage.limit),
    rss: memory.totalRss,
    cache: memory.totalCache,
    mappedFile: memory.totalMappedFile,
    activeFile: memory.totalActiveFile,
    inactiveFile: memory.totalInactiveFile,
    kernel: memory.kernel?.usage ?? 0n,
    swap: swap === undefined ? undefined : swapOfV1(usage, swap),
    pageFaults: memory.totalPgFault,
    majorPageFaults: memory.totalPgMajFault,
    limitHits: usage.failcnt,
    pressure: undefined,
  };
}

/** `both`: memory and swap together, as cgroup v1 counts them. */
function swapOfV1(memory: MemoryEntry, both: MemoryEntry): NonNullable<MemoryFacts["swap"]> {
  const limit = limitOf(both.limit);
  const memoryLimit = limitOf(memory.limit);
  return {
    usage: both.usage > memory.usage ? both.usage - memory.usage : 0n,
    limit: limit === undefined || memoryLimit === undefined ? undefined : limit - memoryLimit,
  };
}

type CounterKind = DeviceCounter["kind"];

function countersOf(
  entries: readonly BlkIOEntry[],
  kinds: Readonly<Record<string, CounterKind>>,
): readonly DeviceCounter[] {
  return entries.flatMap(({ op, device, major, minor, value }) => {
    const kind = kinds[op];
    return kind === undefined ? [] : [{ kind, device: device || `${major}:${minor}`, major, minor, value }];
  });
}

function factsOfV2({ cpu, memory, pids, io, memoryEvents, hugetlb }: MetricsV2): CgroupFacts {
  return {
    cpu:
      cpu === undefined
        ? undefined
        : {
            usageNs: cpu.usageUsec * MICROSECOND_NS,
            userNs: cpu.userUsec * MICROSECOND_NS,
            systemNs: cpu.systemUsec * MICROSECOND_NS,
            periods: cpu.nrPeriods,
            throttledPeriods: cpu.nrThrottled,
            throttledNs: cpu.throttledUsec * MICROSECOND_NS,
            pressure: pressureOf(cpu.psi),
          },
    memory: memory === undefined ? undefined : memoryOfV2(memory, memoryEvents?.max ?? 0n),
    pids: pids === undefined ? undefined : { current: pids.current, limit: pids.limit },
    devices: (io?.usage ?? []).flatMap(({ major, minor, rbytes, wbytes, rios, wios }) => {
      const counter = (kind: CounterKind, value: bigint): DeviceCounter => ({
        kind,
        device: `${major}:${minor}`,
        major,
        minor,
        value,
      });
      return [
        counter("read-bytes", rbytes),
        counter("write-bytes", wbytes),
        counter("reads", rios),
        counter("writes", wios),
      ];
    }),
    ioPressure: pressureOf(io?.psi),
    oomKills: memoryEvents?.oomKill ?? 0n,
    hugePages: hugetlb.map(({ pagesize, current, max }) => ({ pageSize: pagesize, usage: current, max })),
  };
}

function memoryOfV2(memory: NonNullable<MetricsV2["memory"]>, limitHits: bigint): MemoryFacts {
  return {
    usage: memory.usage,
    maxUsage: memory.maxUsage,
    limit: limitOf(memory.usageLimit),
    rss: memory.anon,
    cache: memory.file,
    mappedFile: memory.fileMapped,
    activeFile: memory.activeFile,
    inactiveFile: memory.inactiveFile,
    kernel: memory.kernelStack + memory.slab,
    swap: { usage: memory.swapUsage, limit: limitOf(memory.swapLimit) },
    pageFaults: memory.pgfault,
    majorPageFaults: memory.pgmajfault,
    limitHits,
    pressure: pressureOf(memory.psi),
  };
}

function pressureOf(stats: PSIStats | undefined): Pressure | undefined {
  if (stats === undefined) return undefined;
  return { some: pressureData(stats.some), full: pressureData(stats.full) };
}

function pressureData(data: PSIData | undefined): PressureData | undefined {
  if (data === undefined) return undefined;
  const { total, avg10, avg60, avg300 } = data;
  return { total: total * MICROSECOND_NS, avg10, avg60, avg300 };
}
