import { readdirSync } from "node:fs";
import { monitorEventLoopDelay } from "node:perf_hooks";
import type { NativePlane } from "../fuse/index.js";
import { collectedChannel, collectionFailedChannel } from "../gc/index.js";
import {
  completeChannel,
  corruptChannel,
  demandChannel,
  ensuredChannel,
  failedChannel,
  fetchedChannel,
  type LayerEngine,
  mountedChannel,
} from "../layer/index.js";
import { logChannel } from "../observe/index.js";
import { distrustChannel, requestChannel, retryChannel } from "../registry/index.js";
import { fallbackChannel, preparedChannel } from "../snapshotters/index.js";
import type { Metrics } from "./metrics.js";
import { profileMetrics } from "./profile-metrics.js";
import { replayMetrics } from "./replay-metrics.js";
import { traceMetrics } from "./trace-metrics.js";

/** Seconds; a miss is a round trip and its bytes, a deadline is a minute. */
const WAIT_BUCKETS = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

/** Node measures from wake-up to wake-up of a timer of this period, which is part of what it reports. */
const DELAY_RESOLUTION_MS = 100;

/** Feeds the metrics from the channels of the rooms until it is disposed. */
export function feedMetrics(metrics: Metrics): Disposable {
  const subscriptions = [
    ...prepareMetrics(metrics),
    ...registryMetrics(metrics),
    ...layerMetrics(metrics),
    ...profileMetrics(metrics),
    ...replayMetrics(metrics),
    ...traceMetrics(metrics),
    ...collectionMetrics(metrics),
    ...logMetrics(metrics),
  ];
  return {
    [Symbol.dispose]: () => {
      for (const subscription of subscriptions) subscription[Symbol.dispose]();
    },
  };
}

function prepareMetrics(metrics: Metrics): Disposable[] {
  const prepares = metrics.counter({
    name: "lazuli_remote_prepares_total",
    help: "Layers that containerd asked for before pulling them: lazy, or left to it with a reason.",
    labels: ["outcome", "reason"],
  });
  return [
    preparedChannel.subscribe(() => prepares.add(["lazy", ""])),
    fallbackChannel.subscribe(({ reason }) => prepares.add(["fallback", reason])),
  ];
}

function collectionMetrics(metrics: Metrics): Disposable[] {
  const collections = metrics.counter({
    name: "lazuli_gc_collections_total",
    help: "Garbage collections that ended.",
    labels: ["outcome"],
  });
  const removed = metrics.counter({
    name: "lazuli_gc_removed_total",
    help: "Objects that garbage collections removed.",
    labels: [],
  });
  const freed = metrics.counter({
    name: "lazuli_gc_freed_bytes_total",
    help: "Bytes of blobs that garbage collections took off the disk.",
    labels: [],
  });
  const seconds = metrics.histogram({
    name: "lazuli_gc_duration_seconds",
    help: "Time of garbage collections that ended well.",
    labels: [],
    buckets: WAIT_BUCKETS,
  });
  return [
    collectedChannel.subscribe((facts) => {
      collections.add(["ok"]);
      removed.add([], facts.removed);
      freed.add([], facts.bytesFreed);
      seconds.observe([], facts.durationMs / 1000);
    }),
    collectionFailedChannel.subscribe(() => collections.add(["failed"])),
  ];
}

function registryMetrics(metrics: Metrics): Disposable[] {
  const requests = metrics.counter({
    name: "lazuli_registry_requests_total",
    help: "HTTP requests to registries that ended; status 0 when no answer came.",
    labels: ["host", "kind", "status"],
  });
  const bytes = metrics.counter({
    name: "lazuli_registry_bytes_total",
    help: "Bytes of bodies that came from registries.",
    labels: ["host"],
  });
  const seconds = metrics.histogram({
    name: "lazuli_registry_request_duration_seconds",
    help: "Time of HTTP requests to registries, bodies included.",
    labels: ["kind"],
    buckets: WAIT_BUCKETS,
  });
  const retries = metrics.counter({
    name: "lazuli_registry_retries_total",
    help: "Requests to registries that failed and were made again.",
    labels: ["host", "reason"],
  });
  const distrusted = metrics.counter({
    name: "lazuli_registry_distrusted_total",
    help: "Ranges from registries that did not verify.",
    labels: ["host"],
  });
  return [
    requestChannel.subscribe((facts) => {
      requests.add([facts.host, facts.kind, String(facts.status)]);
      bytes.add([facts.host], facts.bytes);
      seconds.observe([facts.kind], facts.durationMs / 1000);
    }),
    retryChannel.subscribe((facts) => retries.add([facts.host, facts.reason])),
    distrustChannel.subscribe((facts) => distrusted.add([facts.host])),
  ];
}

function layerMetrics(metrics: Metrics): Disposable[] {
  const fetched = metrics.counter({
    name: "lazuli_fetched_bytes_total",
    help: "Compressed bytes that arrived for layers, by why they were asked for.",
    labels: ["priority"],
  });
  const waits = metrics.histogram({
    name: "lazuli_demand_wait_seconds",
    help: "Time that reads of missing bytes waited.",
    labels: ["outcome"],
    buckets: WAIT_BUCKETS,
  });
  const failed = metrics.counter({
    name: "lazuli_failed_reads_total",
    help: "Reads that got an input/output error.",
    labels: ["reason"],
  });
  const corrupt = metrics.counter({
    name: "lazuli_corrupt_units_total",
    help: "Units whose bytes did not verify and were not served.",
    labels: ["origin"],
  });
  const ensured = metrics.histogram({
    name: "lazuli_layer_ensure_duration_seconds",
    help: "Time to make a layer ready: index fetched, compiled and durable.",
    buckets: WAIT_BUCKETS,
  });
  const mounted = metrics.histogram({
    name: "lazuli_layer_mount_duration_seconds",
    help: "Time to mount a layer.",
    labels: ["kind"],
    buckets: WAIT_BUCKETS,
  });
  const completed = metrics.counter({
    name: "lazuli_layers_completed_total",
    help: "Layers whose last missing unit arrived.",
  });
  return [
    fetchedChannel.subscribe((facts) => fetched.add([facts.priority], facts.bytes)),
    demandChannel.subscribe((facts) => waits.observe([facts.outcome], facts.waitedMs / 1000)),
    failedChannel.subscribe((facts) => failed.add([facts.reason], facts.reads)),
    corruptChannel.subscribe((facts) => corrupt.add([facts.origin])),
    ensuredChannel.subscribe((facts) => ensured.observe([], facts.milliseconds / 1000)),
    mountedChannel.subscribe((facts) => mounted.observe([facts.kind], facts.milliseconds / 1000)),
    completeChannel.subscribe(() => completed.add([])),
  ];
}

function logMetrics(metrics: Metrics): Disposable[] {
  const lines = metrics.counter({
    name: "lazuli_log_records_total",
    help: "Log records, whether written or below the level.",
    labels: ["level"],
  });
  return [logChannel.subscribe((record) => lines.add([record.level]))];
}

/** Figures of the layers on this node, read for each page. */
export function watchLayers(metrics: Metrics, engine: Pick<LayerEngine, "list">): void {
  metrics.watch({
    name: "lazuli_layers",
    help: "Layers on this node, by how they are mounted and whether all their bytes are here.",
    type: "gauge",
    labels: ["mount", "state"],
    read: () => {
      const counts = new Map<string, number>();
      for (const layer of engine.list()) {
        const key = `${layer.mountKind} ${layer.complete ? "complete" : "partial"}`;
        counts.set(key, (counts.get(key) ?? 0) + 1);
      }
      return [...counts].map(([key, value]) => ({ labels: key.split(" "), value }));
    },
  });
  const total = (name: "dataBytes" | "cachedBytes") => () => [
    { value: engine.list().reduce((sum, layer) => sum + layer[name], 0) },
  ];
  metrics.watch({
    name: "lazuli_layer_data_bytes",
    help: "Decompressed bytes of all layers when complete.",
    type: "gauge",
    read: total("dataBytes"),
  });
  metrics.watch({
    name: "lazuli_layer_cached_bytes",
    help: "Decompressed bytes of all layers that are here.",
    type: "gauge",
    read: total("cachedBytes"),
  });
}

/** Figures of the native data plane, read for each page. */
export function watchPlane(metrics: Metrics, plane: Pick<NativePlane, "stats">): void {
  const kinds = ["lookups", "getattrs", "opens", "reads", "readdirs", "xattrs", "others"] as const;
  metrics.watch({
    name: "lazuli_fuse_messages_total",
    help: "Messages of the kernel that were answered, by kind.",
    type: "counter",
    labels: ["kind"],
    read: () => {
      const stats = plane.stats();
      return kinds.map((kind) => ({ labels: [kind], value: stats[kind] }));
    },
  });
  const figures = [
    ["bytesServed", "lazuli_fuse_bytes_served_total", "counter", "Bytes of files that went to the kernel."],
    ["misses", "lazuli_fuse_misses_total", "counter", "Reads that needed a missing unit."],
    ["unitsStored", "lazuli_units_stored_total", "counter", "Units that were decoded, verified and kept."],
    [
      "unitsDamaged",
      "lazuli_units_damaged_total",
      "counter",
      "Kept units that did not verify when read again.",
    ],
    ["waitingReads", "lazuli_fuse_waiting_reads", "gauge", "Reads that wait for missing units now."],
  ] as const;
  for (const [figure, name, type, help] of figures) {
    metrics.watch({ name, help, type, read: () => [{ value: plane.stats()[figure] }] });
  }
}

/** Figures of the process, under the names that dashboards know. */
export function watchProcess(metrics: Metrics, version: string): Disposable {
  const startSeconds = Date.now() / 1000 - process.uptime();
  const delays = monitorEventLoopDelay({ resolution: DELAY_RESOLUTION_MS });
  delays.enable();
  const gauge = (name: string, help: string, read: () => number): void =>
    metrics.watch({ name, help, type: "gauge", read: () => [{ value: read() }] });
  metrics.watch({
    name: "lazuli_build_info",
    help: "Always 1; the labels say what runs.",
    type: "gauge",
    labels: ["version", "node"],
    read: () => [{ labels: [version, process.versions.node], value: 1 }],
  });
  gauge("process_start_time_seconds", "Start of the process since 1970.", () => startSeconds);
  gauge("process_resident_memory_bytes", "Resident memory.", () => process.memoryUsage.rss());
  gauge("process_open_fds", "Open file descriptors.", () => readdirSync("/proc/self/fd").length);
  gauge(
    "lazuli_event_loop_delay_p99_seconds",
    "Delay of the JavaScript thread since the last scrape.",
    () => {
      const seconds = delays.percentile(99) / 1e9;
      delays.reset();
      return seconds;
    },
  );
  metrics.watch({
    name: "process_cpu_seconds_total",
    help: "CPU time of the process.",
    type: "counter",
    read: () => {
      const { user, system } = process.cpuUsage();
      return [{ value: (user + system) / 1e6 }];
    },
  });
  return { [Symbol.dispose]: () => delays.disable() };
}
