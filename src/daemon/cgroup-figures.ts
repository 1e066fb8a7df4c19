import { fromBinary } from "@bufbuild/protobuf";
import {
  type BlkIOEntry,
  type MemoryEntry,
  type MemoryStat as MemoryOfOne,
  MetricsSchema as MetricsOfOne,
} from "../../gen/io/containerd/cgroups/v1/metrics_pb.js";
import {
  type IOEntry,
  type MemoryStat as MemoryOfTwo,
  MetricsSchema as MetricsOfTwo,
} from "../../gen/io/containerd/cgroups/v2/metrics_pb.js";
import type { AnyValue } from "../metadata/index.js";

/** One value of a task, under the name and with the labels that containerd's cgroups monitor gives it. */
export interface CgroupFigure {
  readonly name: string;
  /** Beside those of the task, by the names of `cgroupLabels`. */
  readonly labels: readonly string[];
  readonly value: number;
}

type Field<Message> = keyof Message & string;
type Names<Message> = Readonly<Record<string, Field<Message>>>;

const memoryOfOne: Names<MemoryOfOne> = {
  cache: "cache",
  rss: "rss",
  rss_huge: "rssHuge",
  mapped_file: "mappedFile",
  dirty: "dirty",
  writeback: "writeback",
  pgpgin: "pgPgIn",
  pgpgout: "pgPgOut",
  pgfault: "pgFault",
  pgmajfault: "pgMajFault",
  inactive_anon: "inactiveAnon",
  active_anon: "activeAnon",
  inactive_file: "inactiveFile",
  active_file: "activeFile",
  unevictable: "unevictable",
  hierarchical_memory_limit: "hierarchicalMemoryLimit",
  hierarchical_memsw_limit: "hierarchicalSwapLimit",
  total_cache: "totalCache",
  total_rss: "totalRss",
  total_rss_huge: "totalRssHuge",
  total_mapped_file: "totalMappedFile",
  total_dirty: "totalDirty",
  total_writeback: "totalWriteback",
  total_pgpgin: "totalPgPgIn",
  total_pgpgout: "totalPgPgOut",
  total_pgfault: "totalPgFault",
  total_pgmajfault: "totalPgMajFault",
  total_inactive_anon: "totalInactiveAnon",
  total_active_anon: "totalActiveAnon",
  total_inactive_file: "totalInactiveFile",
  total_active_file: "totalActiveFile",
  total_unevictable: "totalUnevictable",
};

/** With four figures each. */
const usagesOfOne = { usage: "usage", swap: "swap", kernel: "kernel", kerneltcp: "kernelTcp" } as const;

const blocksOfOne = {
  blkio_io_merged_recursive_total: "ioMergedRecursive",
  blkio_io_queued_recursive_total: "ioQueuedRecursive",
  blkio_io_service_bytes_recursive_bytes: "ioServiceBytesRecursive",
  blkio_io_service_time_recursive_total: "ioServiceTimeRecursive",
  blkio_io_serviced_recursive_total: "ioServicedRecursive",
  blkio_io_time_recursive_total: "ioTimeRecursive",
  blkio_sectors_recursive_total: "sectorsRecursive",
} as const;

const memoryOfTwo: Names<MemoryOfTwo> = {
  usage: "usage",
  usage_limit: "usageLimit",
  swap_usage: "swapUsage",
  swap_limit: "swapLimit",
  file_mapped: "fileMapped",
  file_dirty: "fileDirty",
  file_writeback: "fileWriteback",
  pgactivate: "pgactivate",
  pgdeactivate: "pgdeactivate",
  pgfault: "pgfault",
  pgmajfault: "pgmajfault",
  pglazyfree: "pglazyfree",
  pgrefill: "pgrefill",
  pglazyfreed: "pglazyfreed",
  pgscan: "pgscan",
  pgsteal: "pgsteal",
  inactive_anon: "inactiveAnon",
  active_anon: "activeAnon",
  inactive_file: "inactiveFile",
  active_file: "activeFile",
  unevictable: "unevictable",
  anon: "anon",
  file: "file",
  kernel_stack: "kernelStack",
  slab: "slab",
  sock: "sock",
  shmem: "shmem",
  anon_thp: "anonThp",
  slab_reclaimable: "slabReclaimable",
  slab_unreclaimable: "slabUnreclaimable",
  workingset_refault: "workingsetRefault",
  workingset_activate: "workingsetActivate",
  workingset_nodereclaim: "workingsetNodereclaim",
  thp_fault_alloc: "thpFaultAlloc",
  thp_collapse_alloc: "thpCollapseAlloc",
};

const cpuOfTwo = {
  cpu_usage_usec_microseconds: "usageUsec",
  cpu_user_usec_microseconds: "userUsec",
  cpu_system_usec_microseconds: "systemUsec",
  cpu_nr_periods_total: "nrPeriods",
  cpu_nr_throttled_total: "nrThrottled",
  cpu_throttled_usec_microseconds: "throttledUsec",
} as const;

const diskOfTwo: Names<IOEntry> = {
  io_rbytes_bytes: "rbytes",
  io_wbytes_bytes: "wbytes",
  io_rios_total: "rios",
  io_wios_total: "wios",
};

const blockLabels = ["op", "device", "major", "minor"];

/** Further labels of the figures that have some, by the figure's name. */
export const cgroupLabels: Readonly<Record<string, readonly string[]>> = {
  per_cpu_nanoseconds: ["cpu"],
  hugetlb_usage_bytes: ["page"],
  hugetlb_failcnt_total: ["page"],
  hugetlb_max_bytes: ["page"],
  ...Object.fromEntries(Object.keys(blocksOfOne).map((name) => [name, blockLabels])),
  ...Object.fromEntries(Object.keys(diskOfTwo).map((name) => [name, ["major", "minor"]])),
};

/** Names of all figures, of both versions of cgroups, each once. */
export const cgroupNames: readonly string[] = [
  ...new Set([
    "pids_limit",
    "pids_current",
    "cpu_total_nanoseconds",
    "cpu_kernel_nanoseconds",
    "cpu_user_nanoseconds",
    "per_cpu_nanoseconds",
    "cpu_throttle_periods_total",
    "cpu_throttled_periods_total",
    "cpu_throttled_time_nanoseconds",
    ...Object.keys(cpuOfTwo),
    ...Object.keys(memoryOfOne).map((name) => `memory_${name}_bytes`),
    ...Object.keys(usagesOfOne).flatMap((name) => [
      `memory_${name}_failcnt_total`,
      ...["limit", "max", "usage"].map((kind) => `memory_${name}_${kind}_bytes`),
    ]),
    ...Object.keys(memoryOfTwo).map((name) => `memory_${name}_bytes`),
    "memory_oom_total",
    "hugetlb_usage_bytes",
    "hugetlb_failcnt_total",
    "hugetlb_max_bytes",
    ...Object.keys(blocksOfOne),
    ...Object.keys(diskOfTwo),
  ]),
];

/** What a shim says of its task, as figures; none for another kind of message. @throws for bytes that are no message */
export function cgroupFigures({ typeUrl, value }: AnyValue): CgroupFigure[] {
  if (typeUrl.endsWith("io.containerd.cgroups.v1.Metrics")) return figuresOfOne(value);
  return typeUrl.endsWith("io.containerd.cgroups.v2.Metrics") ? figuresOfTwo(value) : [];
}

function figure(name: string, value: bigint, labels: readonly string[] = []): CgroupFigure {
  return { name, labels, value: Number(value) };
}

function named<Message>(message: Message, names: Names<Message>, word: string, unit: string): CgroupFigure[] {
  return Object.entries(names).map(([name, field]) =>
    figure(`${word}${name}${unit}`, message[field] as unknown as bigint),
  );
}

function figuresOfOne(bytes: Uint8Array): CgroupFigure[] {
  const { pids, cpu, memory, hugetlb, blkio } = fromBinary(MetricsOfOne, bytes);
  const { usage, throttling } = cpu ?? {};
  return [
    ...(pids === undefined ? [] : [figure("pids_limit", pids.limit), figure("pids_current", pids.current)]),
    ...(usage === undefined
      ? []
      : [
          figure("cpu_total_nanoseconds", usage.total),
          figure("cpu_kernel_nanoseconds", usage.kernel),
          figure("cpu_user_nanoseconds", usage.user),
          ...usage.perCpu.map((used, index) => figure("per_cpu_nanoseconds", used, [String(index)])),
        ]),
    ...(throttling === undefined
      ? []
      : [
          figure("cpu_throttle_periods_total", throttling.periods),
          figure("cpu_throttled_periods_total", throttling.throttledPeriods),
          figure("cpu_throttled_time_nanoseconds", throttling.throttledTime),
        ]),
    ...(memory === undefined ? [] : named(memory, memoryOfOne, "memory_", "_bytes")),
    ...Object.entries(usagesOfOne).flatMap(([name, field]) => usageFigures(name, memory?.[field])),
    ...hugetlb.flatMap(({ pagesize, usage: used, failcnt, max }) => [
      figure("hugetlb_usage_bytes", used, [pagesize]),
      figure("hugetlb_failcnt_total", failcnt, [pagesize]),
      figure("hugetlb_max_bytes", max, [pagesize]),
    ]),
    ...Object.entries(blocksOfOne).flatMap(([name, field]) =>
      (blkio?.[field] ?? []).map((entry) => blockFigure(name, entry)),
    ),
  ];
}

function usageFigures(name: string, entry: MemoryEntry | undefined): CgroupFigure[] {
  if (entry === undefined) return [];
  return [
    figure(`memory_${name}_failcnt_total`, entry.failcnt),
    figure(`memory_${name}_limit_bytes`, entry.limit),
    figure(`memory_${name}_max_bytes`, entry.max),
    figure(`memory_${name}_usage_bytes`, entry.usage),
  ];
}

function blockFigure(name: string, { op, device, major, minor, value }: BlkIOEntry): CgroupFigure {
  return figure(name, value, [op, device, String(major), String(minor)]);
}

function figuresOfTwo(bytes: Uint8Array): CgroupFigure[] {
  const { pids, cpu, memory, io, memoryEvents } = fromBinary(MetricsOfTwo, bytes);
  return [
    ...(pids === undefined ? [] : [figure("pids_limit", pids.limit), figure("pids_current", pids.current)]),
    ...(cpu === undefined ? [] : named(cpu, cpuOfTwo, "", "")),
    ...(memory === undefined ? [] : named(memory, memoryOfTwo, "memory_", "_bytes")),
    ...(memoryEvents === undefined ? [] : [figure("memory_oom_total", memoryEvents.oom)]),
    ...(io?.usage ?? []).flatMap((entry) =>
      Object.entries(diskOfTwo).map(([name, field]) =>
        figure(name, entry[field] as unknown as bigint, [String(entry.major), String(entry.minor)]),
      ),
    ),
  ];
}
