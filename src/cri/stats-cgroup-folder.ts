import { readFile } from "node:fs/promises";
import { join } from "node:path";
import {
  type CgroupFacts,
  type CpuFacts,
  limitOf,
  type MemoryFacts,
  type Pressure,
  type PressureData,
} from "./stats-cgroup.js";

export interface CgroupPlace {
  /** Where cgroups are mounted: /sys/fs/cgroup. */
  readonly root: string;
  /** Of a pod, as the kubelet names it: a path, or a slice of systemd. */
  readonly parent: string;
}

/** Above every file that is read here. */
const FILE_BYTES_MAX = 64 * 1024;
const MICROSECOND_NS = 1000n;
/** What the kernel counts `cpuacct.stat` in, on all machines that Linux runs on. */
const TICK_NS = 10_000_000n;

/** CPU and memory of a pod's own cgroup, of either version; undefined when there is no such cgroup. */
export async function podCgroupFacts({ root, parent }: CgroupPlace): Promise<CgroupFacts | undefined> {
  const path = cgroupPath(parent);
  if (path === undefined) return undefined;
  const [cpu, memory] = await Promise.all([cpuOf(root, path), memoryOf(root, path)]);
  if (cpu === undefined && memory === undefined) return undefined;
  return {
    cpu,
    memory,
    pids: undefined,
    devices: [],
    ioPressure: undefined,
    oomKills: 0n,
    hugePages: [],
  };
}

/** Slices of systemd lie in each other as their names say: `a-b.slice` in `a.slice`. */
export function cgroupPath(parent: string): string | undefined {
  if (parent === "" || parent === "/" || parent.split("/").includes("..")) return undefined;
  if (parent.includes("/") || !parent.endsWith(".slice")) return parent;
  const parts = parent.slice(0, -".slice".length).split("-");
  return parts.map((_, index) => `${parts.slice(0, index + 1).join("-")}.slice`).join("/");
}

async function cpuOf(root: string, path: string): Promise<CpuFacts | undefined> {
  const folder = join(root, path);
  const second = await fieldsOf(join(folder, "cpu.stat"));
  if (second !== undefined) {
    const of = (key: string): bigint => second.get(key) ?? 0n;
    return {
      usageNs: of("usage_usec") * MICROSECOND_NS,
      userNs: of("user_usec") * MICROSECOND_NS,
      systemNs: of("system_usec") * MICROSECOND_NS,
      periods: of("nr_periods"),
      throttledPeriods: of("nr_throttled"),
      throttledNs: of("throttled_usec") * MICROSECOND_NS,
      pressure: await pressureOf(join(folder, "cpu.pressure")),
    };
  }
  const usageNs = await numberOf(join(root, "cpuacct", path, "cpuacct.usage"));
  if (usageNs === undefined) return undefined;
  const times = (await fieldsOf(join(root, "cpuacct", path, "cpuacct.stat"))) ?? new Map();
  const throttling = (await fieldsOf(join(root, "cpu", path, "cpu.stat"))) ?? new Map();
  return {
    usageNs,
    userNs: (times.get("user") ?? 0n) * TICK_NS,
    systemNs: (times.get("system") ?? 0n) * TICK_NS,
    periods: throttling.get("nr_periods") ?? 0n,
    throttledPeriods: throttling.get("nr_throttled") ?? 0n,
    throttledNs: throttling.get("throttled_time") ?? 0n,
    pressure: undefined,
  };
}

async function memoryOf(root: string, path: string): Promise<MemoryFacts | undefined> {
  const usage = await numberOf(join(root, path, "memory.current"));
  if (usage !== undefined) return await memoryOfV2(join(root, path), usage);
  const folder = join(root, "memory", path);
  const usageV1 = await numberOf(join(folder, "memory.usage_in_bytes"));
  return usageV1 === undefined ? undefined : await memoryOfV1(folder, usageV1);
}

async function memoryOfV1(folder: string, usage: bigint): Promise<MemoryFacts> {
  const stat = (await fieldsOf(join(folder, "memory.stat"))) ?? new Map<string, bigint>();
  const of = (key: string): bigint => stat.get(key) ?? 0n;
  const number = async (name: string): Promise<bigint> => (await numberOf(join(folder, name))) ?? 0n;
  const both = await numberOf(join(folder, "memory.memsw.usage_in_bytes"));
  return {
    usage,
    maxUsage: await number("memory.max_usage_in_bytes"),
    limit: limitOf(await number("memory.limit_in_bytes")),
    rss: of("total_rss"),
    cache: of("total_cache"),
    mappedFile: of("total_mapped_file"),
    activeFile: of("total_active_file"),
    inactiveFile: of("total_inactive_file"),
    kernel: await number("memory.kmem.usage_in_bytes"),
    swap: both === undefined ? undefined : { usage: both > usage ? both - usage : 0n, limit: undefined },
    pageFaults: of("total_pgfault"),
    majorPageFaults: of("total_pgmajfault"),
    limitHits: await number("memory.failcnt"),
    pressure: undefined,
  };
}

async function memoryOfV2(folder: string, usage: bigint): Promise<MemoryFacts> {
  const stat = (await fieldsOf(join(folder, "memory.stat"))) ?? new Map<string, bigint>();
  const events = (await fieldsOf(join(folder, "memory.events"))) ?? new Map<string, bigint>();
  const of = (key: string): bigint => stat.get(key) ?? 0n;
  const number = async (name: string): Promise<bigint> => (await numberOf(join(folder, name))) ?? 0n;
  return {
    usage,
    maxUsage: await number("memory.peak"),
    limit: limitOf(await number("memory.max")),
    rss: of("anon"),
    cache: of("file"),
    mappedFile: of("file_mapped"),
    activeFile: of("active_file"),
    inactiveFile: of("inactive_file"),
    kernel: of("kernel"),
    swap: { usage: await number("memory.swap.current"), limit: limitOf(await number("memory.swap.max")) },
    pageFaults: of("pgfault"),
    majorPageFaults: of("pgmajfault"),
    limitHits: events.get("max") ?? 0n,
    pressure: await pressureOf(join(folder, "memory.pressure")),
  };
}

/** Undefined where there is no such file. */
async function textOf(path: string): Promise<string | undefined> {
  try {
    const bytes = await readFile(path);
    return bytes.subarray(0, FILE_BYTES_MAX).toString("latin1");
  } catch {
    // The cgroup is gone, or the kernel has no such controller.
    return undefined;
  }
}

/** Undefined for a file that is not there, or that says `max`. */
async function numberOf(path: string): Promise<bigint | undefined> {
  const text = (await textOf(path))?.trim() ?? "";
  return /^\d{1,20}$/.test(text) ? BigInt(text) : undefined;
}

/** Lines `key number`. */
async function fieldsOf(path: string): Promise<Map<string, bigint> | undefined> {
  const text = await textOf(path);
  if (text === undefined) return undefined;
  return new Map([...text.matchAll(/^(\S+) (\d{1,20})$/gm)].map(([, key, value]) => [key!, BigInt(value!)]));
}

/** Lines `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`. */
async function pressureOf(path: string): Promise<Pressure | undefined> {
  const text = await textOf(path);
  if (text === undefined) return undefined;
  return { some: pressureLine(text, "some"), full: pressureLine(text, "full") };
}

function pressureLine(text: string, name: string): PressureData | undefined {
  const line = new RegExp(
    `^${name} avg10=([\\d.]+) avg60=([\\d.]+) avg300=([\\d.]+) total=(\\d+)$`,
    "m",
  ).exec(text);
  if (line === null) return undefined;
  const [, avg10, avg60, avg300, total] = line;
  return {
    total: BigInt(total!) * MICROSECOND_NS,
    avg10: Number(avg10),
    avg60: Number(avg60),
    avg300: Number(avg300),
  };
}
