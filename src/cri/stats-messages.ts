import type { MessageInitShape } from "@bufbuild/protobuf";
import type {
  CpuUsageSchema,
  IoUsageSchema,
  MemoryUsageSchema,
  NetworkInterfaceUsageSchema,
  NetworkUsageSchema,
  PsiStatsSchema,
  SwapUsageSchema,
} from "../../gen/runtime/v1/api_pb.js";
import type { Nanoseconds } from "./contract.js";
import {
  type CgroupFacts,
  type MemoryFacts,
  type Pressure,
  type PressureData,
  workingSet,
} from "./stats-cgroup.js";
import { defaultInterface, type InterfaceFacts } from "./stats-network.js";

/** What the CPU, memory, swap and block I/O messages of containers and pods have in common. */
export interface UsageMessages {
  readonly cpu?: MessageInitShape<typeof CpuUsageSchema>;
  readonly memory?: MessageInitShape<typeof MemoryUsageSchema>;
  readonly swap?: MessageInitShape<typeof SwapUsageSchema>;
  readonly io?: MessageInitShape<typeof IoUsageSchema>;
}

/** `rate`: nanoseconds of CPU in a second, where it is known. */
export function usageMessages(
  { cpu, memory, ioPressure }: CgroupFacts,
  { timestamp, rate }: { readonly timestamp: Nanoseconds; readonly rate: bigint | undefined },
): UsageMessages {
  return {
    ...(cpu === undefined
      ? {}
      : {
          cpu: {
            timestamp,
            usageCoreNanoSeconds: { value: cpu.usageNs },
            ...(rate === undefined ? {} : { usageNanoCores: { value: rate } }),
            ...psiField(cpu.pressure),
          },
        }),
    ...(memory === undefined ? {} : { memory: memoryMessage(memory, timestamp) }),
    ...(memory?.swap === undefined ? {} : { swap: swapMessage(memory.swap, timestamp) }),
    ...(ioPressure === undefined ? {} : { io: { timestamp, ...psiField(ioPressure) } }),
  };
}

function memoryMessage(
  memory: MemoryFacts,
  timestamp: Nanoseconds,
): MessageInitShape<typeof MemoryUsageSchema> {
  const used = workingSet(memory);
  // 0 where there is no limit, as containerd has it.
  const available = memory.limit === undefined || memory.limit < used ? 0n : memory.limit - used;
  return {
    timestamp,
    workingSetBytes: { value: used },
    availableBytes: { value: available },
    usageBytes: { value: memory.usage },
    rssBytes: { value: memory.rss },
    pageFaults: { value: memory.pageFaults },
    majorPageFaults: { value: memory.majorPageFaults },
    ...psiField(memory.pressure),
  };
}

function swapMessage(
  { usage, limit }: NonNullable<MemoryFacts["swap"]>,
  timestamp: Nanoseconds,
): MessageInitShape<typeof SwapUsageSchema> {
  const available = limit === undefined || limit < usage ? undefined : limit - usage;
  return {
    timestamp,
    swapUsageBytes: { value: usage },
    ...(available === undefined ? {} : { swapAvailableBytes: { value: available } }),
  };
}

export function networkMessage(
  interfaces: readonly InterfaceFacts[],
  timestamp: Nanoseconds,
): MessageInitShape<typeof NetworkUsageSchema> {
  const own = defaultInterface(interfaces);
  return {
    timestamp,
    ...(own === undefined ? {} : { defaultInterface: interfaceMessage(own) }),
    interfaces: interfaces.map(interfaceMessage),
  };
}

function interfaceMessage(facts: InterfaceFacts): MessageInitShape<typeof NetworkInterfaceUsageSchema> {
  return {
    name: facts.name,
    rxBytes: { value: facts.receivedBytes },
    rxErrors: { value: facts.receivedErrors },
    txBytes: { value: facts.sentBytes },
    txErrors: { value: facts.sentErrors },
  };
}

function psiField(pressure: Pressure | undefined): { psi?: MessageInitShape<typeof PsiStatsSchema> } {
  if (pressure === undefined) return {};
  const { some, full } = pressure;
  return {
    psi: {
      ...(some === undefined ? {} : { Some: psiData(some) }),
      ...(full === undefined ? {} : { Full: psiData(full) }),
    },
  };
}

function psiData({ total, avg10, avg60, avg300 }: PressureData) {
  return { Total: total, Avg10: avg10, Avg60: avg60, Avg300: avg300 };
}
