import type { CgroupFacts, CpuFacts, MemoryFacts } from "./stats-cgroup.js";

/** CPU and memory of several cgroups together, for a pod that has none of its own. Pressure can't be added up. */
export function summedFacts(parts: readonly CgroupFacts[]): CgroupFacts {
  const cpus = parts.flatMap(({ cpu }) => (cpu === undefined ? [] : [cpu]));
  const memories = parts.flatMap(({ memory }) => (memory === undefined ? [] : [memory]));
  return {
    cpu: cpus.length === 0 ? undefined : summedCpu(cpus),
    memory: memories.length === 0 ? undefined : summedMemory(memories),
    pids: undefined,
    devices: [],
    ioPressure: undefined,
    oomKills: parts.reduce((sum, { oomKills }) => sum + oomKills, 0n),
    hugePages: [],
  };
}

function summedCpu(cpus: readonly CpuFacts[]): CpuFacts {
  const of = (pick: (cpu: CpuFacts) => bigint): bigint => cpus.reduce((sum, cpu) => sum + pick(cpu), 0n);
  return {
    usageNs: of(({ usageNs }) => usageNs),
    userNs: of(({ userNs }) => userNs),
    systemNs: of(({ systemNs }) => systemNs),
    periods: of(({ periods }) => periods),
    throttledPeriods: of(({ throttledPeriods }) => throttledPeriods),
    throttledNs: of(({ throttledNs }) => throttledNs),
    pressure: undefined,
  };
}

function summedMemory(memories: readonly MemoryFacts[]): MemoryFacts {
  const of = (pick: (memory: MemoryFacts) => bigint): bigint =>
    memories.reduce((sum, memory) => sum + pick(memory), 0n);
  const isLimited = memories.every(({ limit }) => limit !== undefined);
  const hasSwap = memories.every(({ swap }) => swap !== undefined);
  return {
    usage: of(({ usage }) => usage),
    maxUsage: of(({ maxUsage }) => maxUsage),
    limit: isLimited ? of(({ limit }) => limit ?? 0n) : undefined,
    rss: of(({ rss }) => rss),
    cache: of(({ cache }) => cache),
    mappedFile: of(({ mappedFile }) => mappedFile),
    activeFile: of(({ activeFile }) => activeFile),
    inactiveFile: of(({ inactiveFile }) => inactiveFile),
    kernel: of(({ kernel }) => kernel),
    swap: hasSwap ? { usage: of(({ swap }) => swap?.usage ?? 0n), limit: undefined } : undefined,
    pageFaults: of(({ pageFaults }) => pageFaults),
    majorPageFaults: of(({ majorPageFaults }) => majorPageFaults),
    limitHits: of(({ limitHits }) => limitHits),
    pressure: undefined,
  };
}
