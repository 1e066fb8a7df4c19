import { MetricType } from "../../gen/runtime/v1/api_pb.js";

/** What every metric is told about, in this order. */
export const baseLabels = ["pod", "namespace", "container", "id", "image"] as const;

export interface MetricKind {
  readonly name: string;
  readonly help: string;
  readonly type: MetricType;
  /** Behind the base labels. */
  readonly labels: readonly string[];
}

const { COUNTER, GAUGE } = MetricType;
const device = ["device"];
const networkInterface = ["interface"];

/** Names and labels of cAdvisor, which dashboards know. */
export const metricKinds = {
  cpuUser: kind("cpu_user_seconds_total", COUNTER, "Seconds of CPU spent in user mode."),
  cpuSystem: kind("cpu_system_seconds_total", COUNTER, "Seconds of CPU spent in the kernel."),
  cpuUsage: kind("cpu_usage_seconds_total", COUNTER, "Seconds of CPU spent."),
  cpuPeriods: kind("cpu_cfs_periods_total", COUNTER, "Periods of CPU quota that have passed."),
  cpuThrottledPeriods: kind(
    "cpu_cfs_throttled_periods_total",
    COUNTER,
    "Periods in which the quota was used up.",
  ),
  cpuThrottled: kind("cpu_cfs_throttled_seconds_total", COUNTER, "Seconds held back by the quota."),
  memoryCache: kind("memory_cache", GAUGE, "Bytes of page cache."),
  memoryRss: kind("memory_rss", GAUGE, "Bytes of anonymous memory."),
  memoryKernel: kind("memory_kernel_usage", GAUGE, "Bytes that the kernel holds for the container."),
  memoryMapped: kind("memory_mapped_file", GAUGE, "Bytes of mapped files."),
  memorySwap: kind("memory_swap", GAUGE, "Bytes swapped out."),
  memoryLimitHits: kind("memory_failcnt", COUNTER, "Times that the memory limit was hit."),
  memoryUsage: kind("memory_usage_bytes", GAUGE, "Bytes in use, caches included."),
  memoryMaxUsage: kind("memory_max_usage_bytes", GAUGE, "Most bytes that were in use."),
  memoryWorkingSet: kind("memory_working_set_bytes", GAUGE, "Bytes in use that can't be dropped at once."),
  memoryActiveFile: kind("memory_total_active_file_bytes", GAUGE, "Bytes of page cache in active use."),
  memoryInactiveFile: kind(
    "memory_total_inactive_file_bytes",
    GAUGE,
    "Bytes of page cache not in active use.",
  ),
  memoryFailures: kind("memory_failures_total", COUNTER, "Page faults, by type.", ["failure_type", "scope"]),
  oomEvents: kind("oom_events_total", COUNTER, "Processes killed for want of memory."),
  hugePages: kind("hugetlb_usage_bytes", GAUGE, "Bytes of huge pages in use.", ["pagesize"]),
  hugePagesMax: kind("hugetlb_max_usage_bytes", GAUGE, "Most bytes of huge pages in use.", ["pagesize"]),
  received: kind("network_receive_bytes_total", COUNTER, "Bytes received.", networkInterface),
  receivedPackets: kind("network_receive_packets_total", COUNTER, "Packets received.", networkInterface),
  receivedDropped: kind(
    "network_receive_packets_dropped_total",
    COUNTER,
    "Received packets that were dropped.",
    networkInterface,
  ),
  receivedErrors: kind("network_receive_errors_total", COUNTER, "Errors on receiving.", networkInterface),
  sent: kind("network_transmit_bytes_total", COUNTER, "Bytes sent.", networkInterface),
  sentPackets: kind("network_transmit_packets_total", COUNTER, "Packets sent.", networkInterface),
  sentDropped: kind(
    "network_transmit_packets_dropped_total",
    COUNTER,
    "Packets that were dropped on sending.",
    networkInterface,
  ),
  sentErrors: kind("network_transmit_errors_total", COUNTER, "Errors on sending.", networkInterface),
  fsInodesFree: kind("fs_inodes_free", GAUGE, "Free inodes of the file system.", device),
  fsInodes: kind("fs_inodes_total", GAUGE, "Inodes of the file system.", device),
  fsLimit: kind("fs_limit_bytes", GAUGE, "Bytes that the file system holds.", device),
  fsUsage: kind("fs_usage_bytes", GAUGE, "Bytes of the container's writable layer.", device),
  fsReadBytes: kind("fs_reads_bytes_total", COUNTER, "Bytes read.", device),
  fsReads: kind("fs_reads_total", COUNTER, "Reads that have ended.", device),
  fsWrittenBytes: kind("fs_writes_bytes_total", COUNTER, "Bytes written.", device),
  fsWrites: kind("fs_writes_total", COUNTER, "Writes that have ended.", device),
  blockDevice: kind("blkio_device_usage_total", COUNTER, "Bytes moved, by device and direction.", [
    "device",
    "major",
    "minor",
    "operation",
  ]),
  cpuWaiting: kind("pressure_cpu_waiting_seconds_total", COUNTER, "Seconds in which a task waited for CPU."),
  cpuStalled: kind(
    "pressure_cpu_stalled_seconds_total",
    COUNTER,
    "Seconds in which all tasks waited for CPU.",
  ),
  memoryWaiting: kind(
    "pressure_memory_waiting_seconds_total",
    COUNTER,
    "Seconds in which a task waited for memory.",
  ),
  memoryStalled: kind(
    "pressure_memory_stalled_seconds_total",
    COUNTER,
    "Seconds in which all tasks waited for memory.",
  ),
  ioWaiting: kind("pressure_io_waiting_seconds_total", COUNTER, "Seconds in which a task waited for a disk."),
  ioStalled: kind(
    "pressure_io_stalled_seconds_total",
    COUNTER,
    "Seconds in which all tasks waited for a disk.",
  ),
  processes: kind("processes", GAUGE, "Processes in the container."),
  fileDescriptors: kind("file_descriptors", GAUGE, "Open file descriptors."),
  sockets: kind("sockets", GAUGE, "Open sockets."),
  threadsMax: kind("threads_max", GAUGE, "Threads that there may be; 0 is no limit."),
  threads: kind("threads", GAUGE, "Threads in the container."),
  ulimits: kind("ulimits_soft", GAUGE, "Soft limits of the first process.", ["ulimit"]),
  lastSeen: kind("last_seen", GAUGE, "When it was measured, in seconds since 1970."),
  startTime: kind("start_time_seconds", GAUGE, "When it was started, in seconds since 1970."),
  cpuPeriod: kind("spec_cpu_period", GAUGE, "Microseconds of a period of the CPU quota."),
  cpuQuota: kind("spec_cpu_quota", GAUGE, "Microseconds of CPU in a period."),
  cpuShares: kind("spec_cpu_shares", GAUGE, "Weight of the container's share of CPU."),
  memoryLimit: kind("spec_memory_limit_bytes", GAUGE, "Bytes of memory that it may use; 0 is no limit."),
  memoryReservation: kind(
    "spec_memory_reservation_limit_bytes",
    GAUGE,
    "Bytes of memory that are left to it; 0 is none.",
  ),
  memorySwapLimit: kind(
    "spec_memory_swap_limit_bytes",
    GAUGE,
    "Bytes of memory and swap that it may use; 0 is no limit.",
  ),
} as const satisfies Readonly<Record<string, MetricKind>>;

function kind(name: string, type: MetricType, help: string, labels: readonly string[] = []): MetricKind {
  return { name: `container_${name}`, help, type, labels };
}
